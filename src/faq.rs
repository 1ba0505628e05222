#![doc = include_str!("faq.md")]
