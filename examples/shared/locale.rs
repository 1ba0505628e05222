#![allow(unsafe_code)]
//! Which characters are part of a word, and which end one, in the locale of this process.
//!
//! The C library knows, and no safe function of Rust asks it: hence the four declarations, and what their calls
//! rely on:
//!
//! * **L1** `locale` is one that `newlocale` gave, and it is never freed.
//! * **L2** The strings are literals that end in NUL.

use std::ffi::{CStr, c_int, c_uint};
use std::sync::OnceLock;

unsafe extern "C" {
    fn iswprint_l(character: c_uint, locale: libc::locale_t) -> c_int;
    fn iswspace_l(character: c_uint, locale: libc::locale_t) -> c_int;
    fn isprint_l(byte: c_int, locale: libc::locale_t) -> c_int;
    fn isspace_l(byte: c_int, locale: libc::locale_t) -> c_int;
}

/// What a character is to who counts words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Neither begins nor ends a word: what cannot be printed.
    Ignored = 0,
    /// Part of a word.
    Word = 1,
    /// Ends a word.
    Space = 2,
}

/// The classes of all characters of a locale.
pub(crate) struct Classes {
    /// Of each byte that stands for itself: all of them, or in UTF-8 those of ASCII.
    pub(crate) bytes: [Class; 256],
    /// Of each character, where the locale's encoding is UTF-8.
    pub(crate) characters: Option<Vec<Class>>,
}

/// Spaces at which no line is broken; the tools let them end a word all the same, unless told to be strict.
const NO_BREAK: [u32; 4] = [0xa0, 0x2007, 0x202f, 0x2060];

impl Classes {
    /// Those of the locale that the environment names. Asked for once, at the first call.
    pub(crate) fn get() -> &'static Classes {
        static CLASSES: OnceLock<Classes> = OnceLock::new();
        CLASSES.get_or_init(Classes::ask)
    }

    fn ask() -> Classes {
        let locale = locale();
        // SAFETY: L1.
        let codeset = unsafe { libc::nl_langinfo_l(libc::CODESET, locale) };
        // SAFETY: the C library's string of the locale, which ends in NUL and lives as long as the locale.
        let codeset = unsafe { CStr::from_ptr(codeset) };
        let is_utf8 = codeset.to_bytes() == b"UTF-8";
        let strict = std::env::var_os("POSIXLY_CORRECT").is_some();
        let byte = |byte: u8| {
            // SAFETY: L1; the argument is a byte's value.
            let prints = unsafe { isprint_l(byte.into(), locale) } != 0;
            // SAFETY: as above.
            let space = unsafe { isspace_l(byte.into(), locale) } != 0;
            class(byte.into(), prints, space)
        };
        let character = |character: u32| {
            // SAFETY: L1; every value is allowed.
            let prints = unsafe { iswprint_l(character, locale) } != 0;
            // SAFETY: as above.
            let space = unsafe { iswspace_l(character, locale) } != 0;
            class(
                character,
                prints,
                space || (!strict && NO_BREAK.contains(&character)),
            )
        };
        let mut bytes = [Class::Ignored; 256];
        for (value, class) in (0..=u8::MAX).zip(&mut bytes) {
            if value.is_ascii() || !is_utf8 {
                *class = byte(value);
            }
        }
        Classes {
            bytes,
            characters: is_utf8.then(|| (0..=u32::from(char::MAX)).map(character).collect()),
        }
    }
}

fn class(character: u32, prints: bool, space: bool) -> Class {
    // Of those that cannot be printed, these five end a word.
    let controls = b"\n\r\x0c\t\x0b";
    match (prints, space) {
        _ if controls
            .iter()
            .any(|control| character == (*control).into()) =>
        {
            Class::Space
        }
        (true, true) => Class::Space,
        (true, false) => Class::Word,
        (false, _) => Class::Ignored,
    }
}

/// The locale that the environment names, or that of C if there is no such one.
fn locale() -> libc::locale_t {
    let none = std::ptr::null_mut();
    // SAFETY: L2.
    let named = unsafe { libc::newlocale(libc::LC_CTYPE_MASK, c"".as_ptr(), none) };
    if !named.is_null() {
        return named;
    }
    // SAFETY: L2. This locale is always there.
    unsafe { libc::newlocale(libc::LC_CTYPE_MASK, c"C".as_ptr(), none) }
}
