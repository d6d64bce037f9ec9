//! JSON with comments and trailing commas, as editors write their settings.
//!
//! For: telling whether a text is that, and where it isn't.
//! Not for: keeping the comments; whoever stores the text stores it as it is.

use serde_json::Value;

/// Reads the text; the error names line and column and quotes nothing.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(&plain(text)).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            _ => "it is not JSON with comments there",
        };
        format!("line {}, column {}: {what}", error.line(), error.column())
    })
}

/// The text with comments and trailing commas made blank, so that places stay what they were.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Where the last comma stands that nothing but blanks has followed so far.
    let mut comma = None;
    // The last character that is neither blank nor of a comment.
    let mut last = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                (comma, last) = (None, '"');
                out.push('"');
                let mut escaped = false;
                for inner in characters.by_ref() {
                    out.push(inner);
                    if inner == '"' && !escaped {
                        break;
                    }
                    escaped = inner == '\\' && !escaped;
                }
            }
            '/' if characters.peek() == Some(&'/') => {
                out.push(' ');
                while let Some(inner) = characters.next_if(|inner| *inner != '\n') {
                    blank(&mut out, inner);
                }
            }
            '/' if characters.peek() == Some(&'*') => {
                out.push(' ');
                let mut before = ' ';
                characters.next();
                out.push(' ');
                for inner in characters.by_ref() {
                    blank(&mut out, inner);
                    if before == '*' && inner == '/' {
                        break;
                    }
                    before = inner;
                }
            }
            ',' => {
                // One that follows nothing is no trailing one.
                comma = (!"[{,: ".contains(last)).then_some(out.len());
                last = ',';
                out.push(',');
            }
            '}' | ']' => {
                if let Some(place) = comma.take() {
                    out.replace_range(place..=place, " ");
                }
                last = character;
                out.push(character);
            }
            '\u{feff}' if out.is_empty() => {}
            _ => {
                if !character.is_whitespace() {
                    (comma, last) = (None, character);
                }
                out.push(character);
            }
        }
    }
    out
}

/// A blank in the place of a character; lines stay lines.
fn blank(out: &mut String, character: char) {
    out.push(if character == '\n' { '\n' } else { ' ' });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_understood() {
        let text = "{ // one\n \"a\": [1, 2,], /* two */ \"b\": \"// no, /* no\\\" */\",\n}\n";
        assert_eq!(parse(text), Ok(json!({"a": [1, 2], "b": "// no, /* no\" */"})));
    }

    #[test]
    fn a_mistake_is_named_by_its_place_and_not_quoted() {
        let refused = parse("{\n // ok\n \"key\": hunter2\n}").unwrap_err();
        assert!(refused.starts_with("line 3, column "), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
        assert!(parse("[1").unwrap_err().contains("too early"));
        for text in ["", "[,]", "[1,,]", "{,}", "/* open", "[1] x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn plain_json_stays_what_it_is(text in "\\PC{0,40}", number in any::<i64>()) {
            let value = json!({"text": text, "list": [number, null, {"x": text}]});
            prop_assert_eq!(parse(&value.to_string()), Ok(value));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{},\"/*\\\\a\n ]{0,40}") {
            let _ = parse(&text);
        }
    }
}
