//! Series over the run, with their lines, as SVG.

use std::fmt::Write;

use super::series::{Series, WARM_UP, WINDOWS};
use crate::bench::escaped;

/// Pixels.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 44.0;
/// Lines of the scale.
const STEPS: usize = 5;
const COLOURS: [&str; 6] = ["#1f5fbf", "#c9762b", "#3f8f5f", "#8a5fa8", "#b03a48", "#5f6f7f"];

/// The plot of some series of one unit, over minutes; None without points.
pub(crate) fn plot(title: &str, unit: &str, minutes: f64, series: &[&Series]) -> Option<String> {
    let all = || series.iter().flat_map(|series| &series.points);
    // One stall must not flatten everything else: what is above is drawn at the edge.
    let mut values: Vec<f64> = all().map(|(_, value)| *value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let most =
        values.get(values.len().saturating_sub(1) * 99 / 100).copied().filter(|most| *most > 0.0)? * 1.1;
    let across = |x: f64| LEFT + x * (WIDTH - LEFT - RIGHT);
    let down = |y: f64| HEIGHT - BOTTOM - y.min(most) / most * (HEIGHT - TOP - BOTTOM);
    let end = WIDTH - RIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} \
         {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"#ffffff\"/>\n <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n\
         <text x=\"12\" y=\"40\" fill=\"#555555\">{}, over minutes; grey: warm-up; dashed: the fit</text>\n\
         <rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\" fill=\"#eeeeee\"/>\n",
        escaped(title),
        escaped(unit),
        across(WARM_UP as f64 / WINDOWS as f64) - LEFT,
        HEIGHT - TOP - BOTTOM,
    );
    for step in 0..=STEPS {
        let share = step as f64 / STEPS as f64;
        let (value, y, x) = (most * share, down(most * share), across(share));
        writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.*}</text>\n\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{:.*}</text>",
            LEFT - 8.0,
            y + 4.0,
            if most < 10.0 { 2 } else { 0 },
            HEIGHT - BOTTOM + 18.0,
            usize::from(minutes < 10.0),
            minutes * share,
        )
        .ok();
    }
    for (at, (series, colour)) in series.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let points: Vec<String> =
            series.points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), down(*y))).collect();
        let points = points.join(" ");
        writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        )
        .ok();
        if let Some(verdict) = series.verdict() {
            let value = |x: f64| down(verdict.fit.start + verdict.fit.slope * x);
            let from = WARM_UP as f64 / WINDOWS as f64;
            writeln!(
                svg,
                "<path d=\"M{:.1} {:.1}L{end} {:.1}\" stroke=\"{colour}\" stroke-width=\"2\" \
                 stroke-dasharray=\"7 5\"/>",
                across(from),
                value(from),
                value(1.0)
            )
            .ok();
        }
        let y = TOP + 10.0 + 20.0 * at as f64;
        writeln!(
            svg,
            "<path d=\"M{} {y}h24\" stroke=\"{colour}\" stroke-width=\"2\"/>\n<text x=\"{}\" y=\"{}\">{}</text>",
            end + 12.0,
            end + 42.0,
            y + 4.0,
            escaped(series.name)
        )
        .ok();
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::series::Bound;

    #[test]
    fn each_series_has_its_points_its_fit_and_its_name() {
        let points: Vec<_> = (0..WINDOWS).map(|at| (at as f64 / WINDOWS as f64, 3.0)).collect();
        let judged = points.clone();
        let series = Series { key: "k", name: "a < b", unit: "ms", bound: Bound::Most(1.0), points, judged };
        let svg = plot("t", "ms", 60.0, &[&series]).unwrap();
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert!(svg.contains("a &lt; b") && svg.contains("stroke-dasharray"));
        assert_eq!(plot("t", "ms", 60.0, &[]), None);
    }
}
