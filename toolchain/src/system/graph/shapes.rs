//! What the drawing is made of: colours, icons, lines.

use alloc::{format, string::String};
use core::fmt;

/// Plain classes and colours: many programs that show SVG know no CSS variables.
pub(super) const STYLE: &str = "<style>
text { font-family: system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; fill: #26221c }
.page { fill: #faf8f4 } .card { fill: #ffffff; stroke: #ddd5c8; stroke-width: 1.25 }
.stand-in { stroke: #7b8491; stroke-dasharray: 6 4 }
.heading { font-size: 24px; font-weight: 650 } .name { font-size: 16px; font-weight: 650 }
.note { font-size: 13px; fill: #746c60 } .detail { font-size: 12px; fill: #746c60 } .small { font-size: 13px }
.stock { fill: #a8713a } .own { fill: #3f8a63 }
.line { fill: none; stroke: #9a8f80; stroke-width: 1.6 } .line.open { stroke: #3a78b8; stroke-dasharray: 5 4 }
.line:hover { stroke-width: 3 }
.head { fill: #9a8f80 } .open-head { fill: #3a78b8 }
.behind { fill: #faf8f4; fill-opacity: 0.94 }
.label { font-size: 12px; text-anchor: middle; fill: #5d564b } .grant { fill: #26221c; font-weight: 600 }
.label.open { fill: #3a78b8 }
.figures { font-size: 12px; fill: #3f8a63 } .figures[data-from] { text-anchor: middle }
.icon { fill: none; stroke-width: 1.4 } .device-edge { stroke: #7b8491 } .world-edge { stroke: #3a78b8 }
.missing-edge { stroke: #c2362b; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
text { fill: #f0ebe2 } .page { fill: #191714 } .card { fill: #24211d; stroke: #413b33 }
.note { fill: #a79d8f } .detail { fill: #a79d8f }
.stock { fill: #d7a066 } .own { fill: #74c498 }
.line { stroke: #82796c } .line.open { stroke: #6fabe6 }
.head { fill: #82796c } .open-head { fill: #6fabe6 }
.behind { fill: #191714 } .label { fill: #b9afa1 } .figures { fill: #74c498 } .grant { fill: #f0ebe2 } .label.open { fill: #6fabe6 }
.device-edge { stroke: #98a3b1 } .world-edge { stroke: #6fabe6 } .missing-edge { stroke: #f0776c }
}
</style>
<defs>
<marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"9\" markerHeight=\"9\" \
markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"head\" d=\"M0 0L10 5L0 10L2.5 5Z\"/></marker>
<marker id=\"open-head\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"9\" markerHeight=\"9\" \
markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"open-head\" d=\"M0 0L10 5L0 10L2.5 5Z\"/></marker>
</defs>
";

// 16 by 16
pub(super) const GLOBE: &str = "<circle cx=\"8\" cy=\"8\" r=\"7\"/><ellipse cx=\"8\" cy=\"8\" rx=\"3\" ry=\"7\"/><path d=\"M1.5 5.5H14.5M1.5 10.5H14.5\"/>";
pub(super) const DISK: &str = "<ellipse cx=\"8\" cy=\"3.5\" rx=\"5.5\" ry=\"2.5\"/><path d=\"M2.5 3.5V12.5C2.5 16 13.5 16 13.5 12.5V3.5M2.5 8C2.5 11.3 13.5 11.3 13.5 8\"/>";
pub(super) const CHIP: &str = "<rect x=\"3\" y=\"3\" width=\"10\" height=\"10\" rx=\"1.5\"/><path d=\"M6 3V0.5M10 3V0.5M6 15.5V13M10 15.5V13M3 6H0.5M3 10H0.5M15.5 6H13M15.5 10H13\"/>";
pub(super) const CROSS: &str = "<path d=\"M2 2L14 14M14 2L2 14\"/>";

/// A path that is straight from each odd point to the next and bends in between, leaving and arriving upright.
pub(super) fn smooth(points: &[(i64, i64)]) -> String {
    let Some(((x, y), rest)) = points.split_first() else { return String::new() };
    let mut path = format!("M{x} {y}");
    let (mut from_x, mut from_y) = (*x, *y);
    for (i, (x, y)) in rest.iter().enumerate() {
        if i % 2 == 1 || *x == from_x {
            path += &format!("L{x} {y}");
        } else {
            let middle = (from_y + y) / 2;
            path += &format!("C{from_x} {middle} {x} {middle} {x} {y}");
        }
        (from_x, from_y) = (*x, *y);
    }
    path
}

/// Text for XML.
pub(super) struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\n' | '\t' => fmt::Write::write_char(f, c)?,
                c if c.is_control() => f.write_str("\u{fffd}")?,
                c => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}
