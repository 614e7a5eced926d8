//! How wide text is, near enough: the drawing does not know the reader's fonts.

use alloc::string::String;

/// Width of a text in pixels, in a common sans-serif font of that size.
pub(super) fn text(text: &str, font: i64) -> i64 {
    text.chars().map(thousandths).sum::<i64>() * font / 1000
}

/// In thousandths of the font's size.
fn thousandths(c: char) -> i64 {
    match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 300,
        'f' | 't' | 'r' | ' ' | '/' | '(' | ')' | '[' | ']' | '-' => 400,
        'm' | 'w' | 'M' | 'W' | '@' | '→' | '…' => 900,
        'A'..='Z' => 700,
        c if c.is_ascii() => 600,
        // CJK and emoji are square
        _ => 1000,
    }
}

/// The text, cut to a width.
pub(super) fn fit(whole: &str, font: i64, width: i64) -> String {
    if text(whole, font) <= width {
        return whole.into();
    }
    let mut left = width * 1000 / font - thousandths('…');
    let fitting = whole.chars().take_while(|c| {
        left -= thousandths(*c);
        left >= 0
    });
    fitting.chain(['…']).collect()
}
