//! Bars with their spread, as SVG: one bar for each of what is compared, of each case.

use std::fmt::Write;

use super::spread::Spread;

/// Pixels.
const WIDTH: f64 = 900.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 200.0;
const BAR: f64 = 14.0;
const STEP: f64 = 18.0;
const GROUP: f64 = 26.0;
const TOP: f64 = 46.0;

/// One of what is compared.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) colour: &'static str,
    pub(super) spread: Spread,
}

/// A case and its bars.
pub(super) type Group = (String, Vec<Bar>);

/// The plot. Its length of a bar is the logarithm where values are more than 100 times apart.
pub(super) fn bars(title: &str, unit: &str, groups: &[Group], number: fn(f64) -> String) -> String {
    let all = || groups.iter().flat_map(|(_, bars)| bars);
    let most = all().map(|bar| bar.spread.max).fold(f64::MIN_POSITIVE, f64::max);
    let positive = all().map(|bar| bar.spread.min).filter(|value| *value > 0.0);
    let least = positive.fold(most, f64::min);
    let logarithmic = most / least > 100.0;
    let length = |value: f64| -> f64 {
        let share = if logarithmic {
            // From below the least, so that it has a bar too.
            let floor = least.log10().floor() - 0.2;
            (value.max(least).log10() - floor) / (most.log10() - floor)
        } else {
            value / most
        };
        share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    };
    let bar_count: usize = groups.iter().map(|(_, bars)| bars.len()).sum();
    let height = TOP + groups.len() as f64 * GROUP + bar_count as f64 * STEP + 10.0;
    let scale = if logarithmic { ", logarithmic" } else { "" };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n\
         <text x=\"12\" y=\"38\" fill=\"#555555\">{} (median; line: minimum to maximum{scale})</text>\n",
        escaped(title),
        escaped(unit),
    );
    let mut y = TOP;
    for (case, bars) in groups {
        y += GROUP;
        writeln!(svg, "<text x=\"12\" y=\"{}\" font-weight=\"bold\">{}</text>", y - 8.0, escaped(case)).ok();
        for Bar { name, colour, spread } in bars {
            let (from, to) = (LEFT + length(spread.min), LEFT + length(spread.max));
            let middle = y + BAR / 2.0;
            let text = y + BAR - 3.0;
            writeln!(
                svg,
                "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>\n\
                 <rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{}\"/>\n\
                 <path d=\"M{from:.1} {middle}H{to:.1}M{from:.1} {}v6M{to:.1} {}v6\" stroke=\"#222222\" fill=\"none\"/>\n\
                 <text x=\"{:.1}\" y=\"{text}\">{}</text>",
                LEFT - 8.0,
                escaped(name),
                length(spread.median),
                colour,
                middle - 3.0,
                middle - 3.0,
                to + 8.0,
                number(spread.median),
            )
            .ok();
            y += STEP;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// In SVG.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
