//! Typed views: structs of atomics that lie in a segment.
//!
//! This file may use `unsafe` because a view is a reference that was made from a pointer into a mapping, and
//! because the trait that says for which types this is sound is `unsafe`.
#![allow(unsafe_code)]

use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
};

use super::SharedSegment;

/// A layout that may lie in memory which other processes write: integers in atomics, and nothing else.
///
/// Define such a struct with [`shared_layout!`](crate::shared_layout), which implements the trait and computes the
/// fingerprint. Integers in atomics and arrays of layouts are layouts themselves.
///
/// # Safety
///
/// * The type is `repr(C)` and consists of integers in atomics, arrays of them, and structs of the same kind. It
///   has no pointer, no reference, no `AtomicBool` or `AtomicPtr` (another process can store bytes there that are
///   no valid value), and no plain data.
/// * Every bit pattern is a valid value, and padding is never read.
/// * The fingerprint differs from that of any other layout, and is not 0.
///
/// # Examples
/// ```
/// use osps_ipc::{SegmentOptions, shared_layout};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// shared_layout! {
///     /// What a worker has done.
///     pub struct Progress {
///         pub done: AtomicU64,
///         pub failed: AtomicU64,
///     }
/// }
///
/// let segment = SegmentOptions::typed::<Progress>().anonymous()?;
/// segment.get().done.fetch_add(1, Ordering::Release);
/// assert_eq!(segment.get().done.load(Ordering::Acquire), 1);
/// # Ok::<(), osps_ipc::Error>(())
/// ```
pub unsafe trait SharedLayout: Sized + Sync + 'static {
    /// Tells this layout from others: stands in a segment's header and is compared when it is opened.
    const FINGERPRINT: u64;
}

macro_rules! integers {
    ($($Atomic:ty: $name:literal),+) => {$(
        // SAFETY: an integer in an atomic.
        unsafe impl SharedLayout for $Atomic {
            const FINGERPRINT: u64 = Fingerprint::of($name).finish(size_of::<$Atomic>());
        }
    )+};
}
integers!(
    AtomicU8: "u8", AtomicU16: "u16", AtomicU32: "u32", AtomicU64: "u64",
    AtomicI8: "i8", AtomicI16: "i16", AtomicI32: "i32", AtomicI64: "i64"
);

// SAFETY: an array of what may lie there.
unsafe impl<T: SharedLayout, const N: usize> SharedLayout for [T; N] {
    const FINGERPRINT: u64 = Fingerprint::of("array")
        .field("element", N, T::FINGERPRINT)
        .finish(size_of::<[T; N]>());
}

/// Computes a layout's fingerprint from names, offsets and sizes, as a constant.
///
/// It is the 64-bit FNV-1a hash (offset basis `0xcbf29ce484222325`, prime `0x100000001b3`) of these bytes; a hash
/// of 0 becomes 1. Numbers are 8 bytes, little endian; names are UTF-8, followed by a zero byte.
///
/// 1. The type's name: `u8` to `u64` and `i8` to `i64` for integers, `array` for an array, else the struct's.
/// 2. For each field in order: its name, its offset, its type's fingerprint. An array has one field `element`, with
///    the number of elements in the place of the offset.
/// 3. The size of the type.
///
/// # Examples
/// ```
/// use osps_ipc::{Fingerprint, SharedLayout};
/// use std::sync::atomic::AtomicU32;
///
/// assert_eq!(AtomicU32::FINGERPRINT, Fingerprint::of("u32").finish(4));
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Begins with the name of a type.
    pub const fn of(name: &str) -> Fingerprint {
        Fingerprint(0xcbf2_9ce4_8422_2325).name(name)
    }

    /// Adds a field: its name, its offset in bytes, and its type's fingerprint.
    pub const fn field(self, name: &str, offset: usize, fingerprint: u64) -> Fingerprint {
        self.name(name).number(offset as u64).number(fingerprint)
    }

    /// Ends with the type's size in bytes.
    pub const fn finish(self, size: usize) -> u64 {
        match self.number(size as u64).0 {
            0 => 1,
            hash => hash,
        }
    }

    const fn name(self, name: &str) -> Fingerprint {
        self.bytes(name.as_bytes()).bytes(&[0])
    }

    const fn number(self, number: u64) -> Fingerprint {
        self.bytes(&number.to_le_bytes())
    }

    const fn bytes(mut self, bytes: &[u8]) -> Fingerprint {
        let mut n = 0;
        while n < bytes.len() {
            self.0 = (self.0 ^ bytes[n] as u64).wrapping_mul(0x100_0000_01b3);
            n += 1;
        }
        self
    }
}

/// Defines a struct that may lie in a segment: makes it `repr(C)`, checks that each field is a
/// [`SharedLayout`], and implements the trait with the [`Fingerprint`] of its name and fields.
///
/// Renaming, moving or retyping a field, or renaming the struct, changes the fingerprint, so that a program with
/// the old layout and one with the new refuse each other's segments.
///
/// # Examples
/// ```
/// # use std::sync::atomic::{AtomicU32, AtomicU64};
/// osps_ipc::shared_layout! {
///     #[derive(Debug)]
///     pub struct Board {
///         pub state: AtomicU32,
///         pub flags: AtomicU32,
///         pub served: [AtomicU64; 4],
///     }
/// }
/// ```
/// Plain data are refused:
/// ```compile_fail
/// osps_ipc::shared_layout! {
///     struct Board {
///         state: u32,
///     }
/// }
/// ```
/// So is a packed struct, in which an atomic could lie where no reference to it may be made:
/// ```compile_fail,E0793
/// # use std::sync::atomic::{AtomicU8, AtomicU64};
/// osps_ipc::shared_layout! {
///     #[repr(packed)]
///     struct Board {
///         state: AtomicU8,
///         served: AtomicU64,
///     }
/// }
/// ```
#[macro_export]
macro_rules! shared_layout {
    ($(#[$attribute:meta])* $visibility:vis struct $Name:ident {
        $($(#[$of_field:meta])* $of:vis $field:ident : $Type:ty),+ $(,)?
    }) => {
        $(#[$attribute])*
        #[repr(C)]
        $visibility struct $Name {
            $($(#[$of_field])* $of $field: $Type),+
        }
        const _: () = {
            const fn is_layout<T: $crate::SharedLayout>(_: &T) {}
            // No attribute has added a field, or has packed the struct: a reference to each is made.
            #[allow(dead_code)]
            const fn has_these_fields_alone(this: &$Name) {
                let $Name { $($field),+ } = this;
                $(is_layout::<$Type>($field);)+
            }
        };
        // SAFETY: `repr(C)`, and it has these fields alone, each of which is a layout, else the lines above would not
        // compile.
        unsafe impl $crate::SharedLayout for $Name {
            const FINGERPRINT: u64 = $crate::Fingerprint::of(::core::stringify!($Name))
                $(.field(
                    ::core::stringify!($field),
                    ::core::mem::offset_of!($Name, $field),
                    <$Type as $crate::SharedLayout>::FINGERPRINT,
                ))+
                .finish(::core::mem::size_of::<$Name>());
        }
    };
}

impl<T: SharedLayout> SharedSegment<T> {
    /// The struct in the segment.
    ///
    /// Other processes may store to it at any moment: what two loads give need not fit together, unless both sides
    /// agree on an order of publication.
    #[inline]
    pub fn get(&self) -> &T {
        let words = self.region().as_words();
        debug_assert!(size_of_val(words) >= size_of::<T>());
        let at = words.as_ptr().cast::<T>();
        debug_assert!(at.is_aligned());
        // SAFETY: a `SharedSegment<T>` comes only from `SegmentOptions::typed`, which demands an alignment that the
        // payload has and a payload of exactly the size of `T` (S1). The words live as long as the borrow of
        // `self`, and `SharedLayout` promises that any bytes in them are a `T` that may be shared.
        unsafe { &*at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    shared_layout! {
        struct Numbers {
            small: AtomicU8,
            wide: [AtomicU64; 2],
        }
    }
    mod renamed {
        use super::*;
        shared_layout! {
            pub(super) struct Numbers {
                little: AtomicU8,
                wide: [AtomicU64; 2],
            }
        }
    }
    mod moved {
        use super::*;
        shared_layout! {
            pub(super) struct Numbers {
                wide: [AtomicU64; 2],
                small: AtomicU8,
            }
        }
    }
    mod retyped {
        use super::*;
        shared_layout! {
            pub(super) struct Numbers {
                small: AtomicI8,
                wide: [AtomicU64; 2],
            }
        }
    }

    #[test]
    fn each_change_of_a_layout_changes_its_fingerprint() {
        let all = [
            Numbers::FINGERPRINT,
            renamed::Numbers::FINGERPRINT,
            moved::Numbers::FINGERPRINT,
            retyped::Numbers::FINGERPRINT,
            <[AtomicU64; 2]>::FINGERPRINT,
            <[AtomicU64; 3]>::FINGERPRINT,
            AtomicU64::FINGERPRINT,
            AtomicI64::FINGERPRINT,
        ];
        let distinct: std::collections::HashSet<u64> = all.into();
        assert_eq!(distinct.len(), all.len());
        assert!(!distinct.contains(&0));
    }

    #[test]
    fn a_fingerprint_is_the_hash_that_the_documentation_spells_out() {
        let mut bytes = b"u64\0".to_vec();
        bytes.extend(8_u64.to_le_bytes());
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        assert_eq!(AtomicU64::FINGERPRINT, hash);
    }
}
