//! Counts lines, words and bytes as GNU `wc` does, from pieces of any length.

#[path = "locale.rs"]
mod locale;

use std::fmt;

use locale::{Class, Classes};

/// What has been counted.
pub(crate) struct Counts {
    classes: &'static Classes,
    lines: u64,
    words: u64,
    bytes: u64,
    in_word: bool,
    /// The character of several bytes that is being put together, and how many are to come.
    partial: u32,
    missing: u32,
    /// Less than this is a character that has a shorter form, and so is not valid.
    least: u32,
}

impl Counts {
    pub(crate) fn new() -> Counts {
        Counts {
            classes: Classes::get(),
            lines: 0,
            words: 0,
            bytes: 0,
            in_word: false,
            partial: 0,
            missing: 0,
            least: 0,
        }
    }

    /// Counts the next piece.
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let classes = self.classes;
        for byte in piece {
            let class = match &classes.characters {
                Some(characters) if *byte >= 0x80 => self.decode(*byte, characters),
                _ => {
                    self.missing = 0;
                    classes.bytes[usize::from(*byte)]
                }
            };
            self.lines += u64::from(*byte == b'\n');
            self.see(class);
        }
    }

    /// Without branches: what a random byte is cannot be foreseen.
    #[inline]
    fn see(&mut self, class: Class) {
        self.words += u64::from(self.in_word & (class == Class::Space));
        self.in_word = (class == Class::Word) | (self.in_word & (class == Class::Ignored));
    }

    /// One byte of UTF-8 beyond ASCII: the class of the character that it completes. A sequence that breaks off, or
    /// is longer than it must be, is ignored.
    #[inline]
    fn decode(&mut self, byte: u8, characters: &[Class]) -> Class {
        let bits = u32::from(byte);
        match byte {
            0x80..=0xbf if self.missing == 0 => return Class::Ignored,
            0x80..=0xbf => {
                self.partial = self.partial << 6 | bits & 0x3f;
                self.missing -= 1;
                if self.missing == 0 && self.partial >= self.least {
                    let character = usize::try_from(self.partial).unwrap_or(usize::MAX);
                    return *characters.get(character).unwrap_or(&Class::Ignored);
                }
            }
            0xc0..=0xdf => (self.partial, self.missing, self.least) = (bits & 0x1f, 1, 0x80),
            0xe0..=0xef => (self.partial, self.missing, self.least) = (bits & 0x0f, 2, 0x800),
            0xf0..=0xf7 => (self.partial, self.missing, self.least) = (bits & 0x07, 3, 0x1_0000),
            _ => self.missing = 0,
        }
        Class::Ignored
    }
}

/// As `wc` prints them for one file: each as wide as the number of bytes, a space between.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words + u64::from(self.in_word);
        let bytes = self.bytes.to_string();
        let width = bytes.len();
        write!(f, "{:>width$} {words:>width$} {bytes}", self.lines)
    }
}
