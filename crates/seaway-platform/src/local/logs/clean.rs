//! Makes bytes of a log fit to be shown.

use super::LONGEST_LINE;

/// A line of a log as text that a terminal can be given: escape sequences (colours, titles, cursor movements) are
/// taken out, other control characters than tabs are written as escapes (`\u{8}`), as are the characters that turn
/// the direction of writing; what is not UTF-8 is replaced; a line over [`LONGEST_LINE`] is cropped and ends in `…`.
#[must_use]
pub fn clean(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut cut = line.len();
    if cut > LONGEST_LINE {
        cut = LONGEST_LINE;
        // Not within a character; one has at most four bytes.
        while cut > LONGEST_LINE - 4 && line[cut] & 0b1100_0000 == 0b1000_0000 {
            cut -= 1;
        }
    }
    let text = String::from_utf8_lossy(&line[..cut]);
    let mut shown = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\t' => shown.push(letter),
            '\u{1b}' => skip_escape(&mut letters),
            '\u{9b}' => skip_control_sequence(&mut letters),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => shown.extend(letter.escape_unicode()),
            letter if letter.is_control() => shown.extend(letter.escape_default()),
            letter => shown.push(letter),
        }
    }
    if cut < line.len() {
        shown.push('…');
    }
    shown
}

/// Takes the rest of an escape sequence (ECMA-48) whose escape character was read.
fn skip_escape(letters: &mut std::str::Chars<'_>) {
    let mut ahead = letters.clone();
    match ahead.next() {
        Some('[') => {
            *letters = ahead;
            skip_control_sequence(letters);
        }
        // A string for the terminal (its title, for one): up to BEL or ESC \.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            *letters = ahead;
            let mut last = ' ';
            for letter in letters.by_ref() {
                if letter == '\u{7}' || letter == '\u{9c}' || (last == '\u{1b}' && letter == '\\') {
                    break;
                }
                last = letter;
            }
        }
        Some(' '..='/') => {
            let _final = letters.by_ref().find(|letter| !(' '..='/').contains(letter));
        }
        Some('0'..='~') => *letters = ahead,
        _ => {}
    }
}

/// Takes parameters up to the letter that ends a control sequence.
fn skip_control_sequence(letters: &mut std::str::Chars<'_>) {
    let mut ahead = letters.clone();
    while let Some(letter) = ahead.next() {
        match letter {
            ' '..='?' => {}
            '@'..='~' => {
                *letters = ahead;
                return;
            }
            // Broken off: what follows is text.
            _ => return,
        }
        *letters = ahead.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_cannot_drive_the_terminal() {
        for (line, shown) in [
            ("plain\ttext äöü", "plain\ttext äöü"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Bascii\u{1b}c", "ascii"),
            ("\u{9b}2Jgone", "gone"),
            ("10%\r20%\r", "10%\\r20%"),
            ("bell\u{7}\u{8}", "bell\\u{7}\\u{8}"),
            ("\u{202e}txt", "\\u{202e}txt"),
            ("broken \u{1b}[1;ä", "broken ä"),
            ("ends \u{1b}", "ends "),
        ] {
            assert_eq!(clean(line.as_bytes()), shown, "{line:?}");
        }
        assert_eq!(clean(b"bad \xff utf"), "bad \u{fffd} utf");
    }

    #[test]
    fn long_lines_are_cropped_at_a_character() {
        let line = "ä".repeat(LONGEST_LINE);
        let shown = clean(line.as_bytes());
        assert_eq!(
            shown.chars().filter(|letter| *letter == 'ä').count(),
            LONGEST_LINE / 2
        );
        assert!(shown.ends_with("ä…"));
        assert_eq!(clean(&[b'a'; LONGEST_LINE]).len(), LONGEST_LINE);
        assert!(clean(format!("a{line}").as_bytes()).ends_with("ä…"));
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_controls_comes_through(bytes: Vec<u8>) {
            let shown = clean(&bytes);
            proptest::prop_assert!(shown.chars().all(|letter| letter == '\t' || !letter.is_control()));
        }
    }
}
