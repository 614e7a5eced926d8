//! Tables for a terminal.

/// Rows of cells in columns; those whose heading begins with a space are aligned to the right.
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let right = headings.map(|heading| heading.starts_with(' '));
    let headings = headings.map(|heading| heading.trim().to_string());
    let width = |column: usize| {
        let cells = rows.iter().chain([&headings]).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in [&headings].into_iter().chain(rows) {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if right[column] { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Bytes, as in "4.1 MiB".
pub fn bytes(bytes: u64) -> String {
    let (kib, mib, gib) = (1 << 10, 1 << 20, 1 << 30);
    let in_units = |unit: u64, name: &str| {
        let tenths = bytes.saturating_mul(10) / unit;
        if tenths >= 100 {
            format!("{} {name}", tenths / 10)
        } else {
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    };
    match bytes {
        _ if bytes >= gib => in_units(gib, "GiB"),
        _ if bytes >= mib => in_units(mib, "MiB"),
        _ if bytes >= kib => in_units(kib, "KiB"),
        _ => format!("{bytes} B"),
    }
}

/// Nanoseconds, as in "3 h 12 min".
pub fn time(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    match seconds {
        0 => format!("{} ms", nanos / 1_000_000),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Nanoseconds of something short, as in "1.2 ms".
pub fn short(nanos: u64) -> String {
    let (unit, name) = match nanos {
        0..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    match nanos * 10 / unit {
        tenths @ 0..100 => format!("{}.{} {name}", tenths / 10, tenths % 10),
        tenths => format!("{} {name}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times() {
        for (nanos, text) in
            [(0, "0.0 µs"), (12_345, "12 µs"), (9_900, "9.9 µs"), (3_000_000, "3.0 ms"), (65_000_000_000, "65 s")]
        {
            assert_eq!(short(nanos), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let rows = [["net".into(), "9".into(), "x".into()], ["a-long-name".into(), "1200".into(), String::new()]];
        let text = table(["NAME", " COUNT", "REASON"], &rows);
        assert_eq!(text, "NAME         COUNT  REASON\nnet              9  x\na-long-name   1200\n");
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(4_300_000), "4.1 MiB");
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(time(340_000_000), "340 ms");
        assert_eq!(time(62_000_000_000), "1 min 02 s");
        assert_eq!(time(90_061_000_000_000), "1 d 1 h");
    }
}
