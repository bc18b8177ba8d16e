//! Lines over commands a day, as SVG.

use std::fmt::Write;

use crate::bench::bars::escaped;

/// Pixels.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 270.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 50.0;
/// Lines of the scale.
const STEPS: usize = 5;

/// One line: its name, colour, whether it is dashed, and its points.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) colour: &'static str,
    pub(super) dashed: bool,
    pub(super) points: Vec<(f64, f64)>,
}

/// The plot; none without points.
pub(super) fn plot(title: &str, unit: &str, curves: &[Curve], number: fn(f64) -> String) -> Option<String> {
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let most = all().map(|(_, y)| *y).fold(0.0, f64::max);
    let right = all().map(|(x, _)| *x).fold(0.0, f64::max);
    if most <= 0.0 || right <= 0.0 {
        return None;
    }
    // By the square root, so that few commands a day have room.
    let across = |x: f64| LEFT + (x / right).sqrt() * (WIDTH - LEFT - RIGHT);
    let down = |y: f64| HEIGHT - BOTTOM - y / (most * 1.05) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n\
         <text x=\"12\" y=\"40\" fill=\"#555555\">{}, over commands a day</text>\n",
        escaped(title),
        escaped(unit)
    );
    let end = WIDTH - RIGHT;
    for step in 0..=STEPS {
        let value = most * step as f64 / STEPS as f64;
        let y = down(value);
        let text = number(value);
        writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT - 8.0,
            y + 4.0
        )
        .ok();
    }
    let mut ticks: Vec<f64> = all().map(|(x, _)| *x).collect();
    ticks.sort_unstable_by(f64::total_cmp);
    ticks.dedup();
    for x in ticks {
        let y = HEIGHT - BOTTOM + 18.0;
        writeln!(svg, "<text x=\"{:.1}\" y=\"{y}\" text-anchor=\"middle\">{x}</text>", across(x)).ok();
    }
    for (at, curve) in curves.iter().filter(|curve| !curve.points.is_empty()).enumerate() {
        let points: Vec<String> =
            curve.points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), down(*y))).collect();
        let dash = if curve.dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        let Curve { colour, name, .. } = curve;
        let y = TOP + 20.0 * at as f64;
        writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
            points.join(" ")
        )
        .ok();
        for (x, y) in &curve.points {
            let (x, y) = (across(*x), down(*y));
            writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>").ok();
        }
        writeln!(
            svg,
            "<path d=\"M{} {y}h24\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>\n<text x=\"{}\" y=\"{}\">{}</text>",
            end + 16.0,
            end + 46.0,
            y + 4.0,
            escaped(name)
        )
        .ok();
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_points_and_its_name() {
        let curve = |points| Curve { name: "a < b".into(), colour: "#000000", dashed: true, points };
        let svg = plot("t", "KiB", &[curve(vec![(0.0, 1.0), (50.0, 2.0)])], |y| format!("{y}")).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("a &lt; b") && svg.contains("stroke-dasharray"));
        assert_eq!(plot("t", "KiB", &[curve(vec![])], |y| format!("{y}")), None);
    }
}
