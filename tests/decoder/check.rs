//! What must hold for the message decoder on any bytes whatever. Included by the stable test `tests/decoder.rs`,
//! which replays the corpus, and by the fuzz target `fuzz/fuzz_targets/request.rs`, which looks for more of it.
//!
//! Outcomes are compared as text, in the words of `tests/vectors/messages.txt`: the decoder's, and those of an
//! oracle that reads the tables of the module documentation in the plainest way.

use osps_ipc::request::{
    BadKind, DecodeError, HandOver, ReplyBody, ReplyForm, ReplyHeader, ReplyView, RequestBody,
    RequestForm, RequestHeader, RequestKind, RequestView, Status, TargetProblem,
};

/// Checks everything on one input.
pub(crate) fn check(data: &[u8]) {
    check_request(data);
    check_reply(data);
    check_made_up_request(data);
    check_made_up_reply(data);
}

fn check_request(data: &[u8]) {
    let outcome = request(data);
    assert_eq!(outcome, oracle_request(data));
    let header = RequestHeader::decode(data);
    let view = match RequestView::decode(data) {
        Ok(view) => view,
        Err(error) => {
            assert!(header.is_ok() || header == Err(error));
            return;
        }
    };
    assert_eq!(header, Ok(view.header()));
    assert_eq!(
        view.payload().len(),
        view.header().payload_length() as usize
    );
    assert_eq!([&view.header().encode(), view.payload()].concat(), data);
    if let RequestBody::HandOver(hand_over) = view.body() {
        assert_eq!(hand_over.encode(), view.payload());
        assert!(hand_over.offset.checked_add(hand_over.length).is_some());
    }
    check_neighbours(data, RequestHeader::LENGTH, request, oracle_request);
}

fn check_reply(data: &[u8]) {
    let outcome = reply(data);
    assert_eq!(outcome, oracle_reply(data));
    let header = ReplyHeader::decode(data);
    let view = match ReplyView::decode(data) {
        Ok(view) => view,
        Err(error) => {
            assert!(header.is_ok() || header == Err(error));
            return;
        }
    };
    assert_eq!(header, Ok(view.header()));
    assert_eq!(
        view.payload().len(),
        view.header().payload_length() as usize
    );
    assert_eq!([&view.header().encode(), view.payload()].concat(), data);
    let shown = match view.body() {
        ReplyBody::Inline(bytes) => String::from_utf8_lossy(bytes),
        ReplyBody::HandOver(hand_over) => {
            assert_eq!(hand_over.encode(), view.payload());
            assert!(hand_over.offset.checked_add(hand_over.length).is_some());
            assert!(view.header().status.may_be_handed_over());
            "".into()
        }
    };
    assert_eq!(view.text().to_string(), shown);
    let list: Vec<u8> = view.kinds().flat_map(|kind| *kind.as_bytes()).collect();
    match view.header().status {
        Status::UnknownKind => assert_eq!(list, view.payload()),
        _ => assert!(list.is_empty()),
    }
    match view.target() {
        Some(name) => assert_eq!(name.as_bytes(), view.payload()),
        None => assert_ne!(view.header().status, Status::Redirect),
    }
    check_neighbours(data, ReplyHeader::LENGTH, reply, oracle_reply);
}

/// A message that is accepted is refused when it is cut anywhere or continued, and with any one bit of its
/// fixed fields turned over it is still judged as by the oracle.
fn check_neighbours(
    data: &[u8],
    header: usize,
    decode: fn(&[u8]) -> String,
    oracle: fn(&[u8]) -> String,
) {
    let longest_of_all = 4 * header;
    for cut in (0..data.len()).filter(|cut| *cut < longest_of_all || *cut + 8 > data.len()) {
        let expected = match cut < header {
            true => format!("refuse Truncated needed={header} found={cut}"),
            false => format!("refuse Length promised={} found={cut}", data.len()),
        };
        assert_eq!(decode(&data[..cut]), expected);
    }
    if data.len() > longest_of_all {
        return;
    }
    let longer = [data, &[0]].concat();
    let expected = format!(
        "refuse Length promised={} found={}",
        data.len(),
        longer.len()
    );
    assert_eq!(decode(&longer), expected);
    let mut changed = data.to_vec();
    for bit in (0..8 * 8).chain(16 * 8..20 * 8) {
        changed[bit / 8] ^= 1 << (bit % 8);
        let outcome = decode(&changed);
        assert_eq!(outcome, oracle(&changed));
        assert!(outcome.starts_with("refuse") || bit >= 16 && !(32..64).contains(&bit));
        changed[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Whatever header can be made is decoded to what it was.
fn check_made_up_request(data: &[u8]) {
    let (seed, rest) = data.split_at(data.len().min(32));
    let name: String = seed
        .iter()
        .take(1 + usize::from(byte(seed, 20)) % RequestKind::LENGTH)
        .map(|byte| char::from(b'!' + byte % (b'~' - b'!' + 1)))
        .collect();
    let Ok(kind) = RequestKind::try_from(&name[..]) else {
        assert!(seed.is_empty());
        return;
    };
    let hand_over = made_up_hand_over(seed);
    let (form, payload) = match byte(seed, 17) % 3 {
        0 => (RequestForm::Inline(length_of(rest)), rest.to_vec()),
        1 => (RequestForm::HandOver, hand_over.encode().to_vec()),
        _ => (RequestForm::Ask, Vec::new()),
    };
    let header = RequestHeader {
        id: number(seed, 0, 8),
        kind,
        deadline: number(seed, 8, 8),
        form,
    };
    let message = [&header.encode()[..], &payload].concat();
    let view = RequestView::decode(&message).expect("a request that was encoded");
    assert_eq!((view.header(), view.payload()), (header, &payload[..]));
    match view.body() {
        RequestBody::Inline(bytes) => assert_eq!(bytes, rest),
        RequestBody::HandOver(found) => assert_eq!(found, hand_over),
        RequestBody::Ask => assert_eq!(form, RequestForm::Ask),
    }
}

/// The same for replies, with payloads as their status demands them.
fn check_made_up_reply(data: &[u8]) {
    let (seed, rest) = data.split_at(data.len().min(32));
    let status = Status::ALL[usize::from(byte(seed, 16)) % Status::ALL.len()];
    let hand_over = made_up_hand_over(seed);
    let handed_over = status.may_be_handed_over() && byte(seed, 17) % 2 == 1;
    let payload = match status {
        _ if handed_over => hand_over.encode().to_vec(),
        Status::UnknownKind => [*b"kind\0\0\0\0\0\0\0\0\0\0\0\0"; 3].concat(),
        Status::Redirect => b"secondary-0".to_vec(),
        _ => rest.to_vec(),
    };
    let header = ReplyHeader {
        id: number(seed, 0, 8),
        status,
        code: u32::try_from(number(seed, 18, 4)).expect("four bytes"),
        epoch: number(seed, 8, 8),
        form: match handed_over {
            true => ReplyForm::HandOver,
            false => ReplyForm::Inline(length_of(&payload)),
        },
    };
    let message = [&header.encode()[..], &payload].concat();
    let view = ReplyView::decode(&message).expect("a reply that was encoded");
    assert_eq!((view.header(), view.payload()), (header, &payload[..]));
    match view.body() {
        ReplyBody::Inline(bytes) => assert_eq!(bytes, payload),
        ReplyBody::HandOver(found) => assert_eq!(found, hand_over),
    }
}

fn made_up_hand_over(seed: &[u8]) -> HandOver {
    let length = number(seed, 0, 8);
    HandOver {
        number: number(seed, 8, 8),
        length,
        offset: number(seed, 24, 8).min(u64::MAX - length),
    }
}

fn length_of(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).expect("inputs are small")
}

fn byte(seed: &[u8], at: usize) -> u8 {
    seed.get(at).copied().unwrap_or(0)
}

/// The little-endian number in so many bytes; what is not there is zero.
fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    (0..size)
        .rev()
        .fold(0, |sum, i| sum * 256 + u64::from(byte(bytes, at + i)))
}

/// The outcome of decoding a request, in the words of the vectors.
pub(crate) fn request(data: &[u8]) -> String {
    let view = match RequestView::decode(data) {
        Ok(view) => view,
        Err(error) => return refusal(error),
    };
    let RequestHeader {
        id,
        kind,
        deadline,
        form,
    } = view.header();
    let form = match form {
        RequestForm::Inline(_) => "Inline",
        RequestForm::HandOver => "HandOver",
        RequestForm::Ask => "Ask",
    };
    let tail = match view.body() {
        RequestBody::Inline(bytes) => format!(" payload={}", hex(bytes)),
        RequestBody::HandOver(hand_over) => described(hand_over),
        RequestBody::Ask => String::new(),
    };
    format!("accept id={id} kind={kind} deadline={deadline} form={form}{tail}")
}

/// The outcome of decoding a reply, in the words of the vectors.
pub(crate) fn reply(data: &[u8]) -> String {
    let view = match ReplyView::decode(data) {
        Ok(view) => view,
        Err(error) => return refusal(error),
    };
    let ReplyHeader {
        id,
        status,
        code,
        epoch,
        form,
    } = view.header();
    let form = match form {
        ReplyForm::Inline(_) => "Inline",
        ReplyForm::HandOver => "HandOver",
    };
    let tail = match view.body() {
        ReplyBody::Inline(bytes) => format!(" payload={}", hex(bytes)),
        ReplyBody::HandOver(hand_over) => described(hand_over),
    };
    format!("accept id={id} status={status:?} code={code} epoch={epoch} form={form}{tail}")
}

fn described(hand_over: HandOver) -> String {
    let HandOver {
        number,
        length,
        offset,
    } = hand_over;
    format!(" number={number} length={length} offset={offset}")
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn refusal(error: DecodeError) -> String {
    assert!(!error.to_string().is_empty());
    match error {
        DecodeError::Truncated { needed, found } => {
            format!("refuse Truncated needed={needed} found={found}")
        }
        DecodeError::Version { found } => format!("refuse Version found={found}"),
        DecodeError::Flags { found } => format!("refuse Flags found={found}"),
        DecodeError::Reserved { found } => format!("refuse Reserved found={found}"),
        DecodeError::Status { found } => format!("refuse Status found={found}"),
        DecodeError::Kind(BadKind::Empty) => "refuse KindEmpty".to_owned(),
        DecodeError::Kind(BadKind::NotGraphic { at, byte }) => {
            format!("refuse KindNotGraphic at={at} byte={byte}")
        }
        DecodeError::AskPayload { found } => format!("refuse AskPayload found={found}"),
        DecodeError::HandOverStatus { status } => format!("refuse HandOverStatus status={status}"),
        DecodeError::HandOverLength { found } => format!("refuse HandOverLength found={found}"),
        DecodeError::HandOverRange { offset, length } => {
            format!("refuse HandOverRange offset={offset} length={length}")
        }
        DecodeError::KindList { found } => format!("refuse KindList found={found}"),
        DecodeError::Length { promised, found } => {
            format!("refuse Length promised={promised} found={found}")
        }
        DecodeError::Target { found, problem } => {
            let problem = match problem {
                TargetProblem::Empty => "Empty",
                TargetProblem::TooLong => "TooLong",
                TargetProblem::NotUtf8 => "NotUtf8",
                TargetProblem::NotAName => "NotAName",
                other => panic!("{other:?} cannot come of a message"),
            };
            format!("refuse Target{problem} found={found}")
        }
        other => panic!("{other:?} cannot come of a message"),
    }
}

fn oracle_request(data: &[u8]) -> String {
    if data.len() < 40 {
        return format!("refuse Truncated needed=40 found={}", data.len());
    }
    let [version, flags] = [number(data, 0, 2), number(data, 2, 2)];
    if version != 1 {
        return format!("refuse Version found={version}");
    }
    if flags > 2 {
        return format!("refuse Flags found={flags}");
    }
    if let Err(refusal) = oracle_kind(&data[16..32]) {
        return refusal;
    }
    let length = number(data, 4, 4);
    let payload = &data[40..];
    if flags == 1 && length != 24 {
        return format!("refuse HandOverLength found={length}");
    }
    if flags == 2 && length != 0 {
        return format!("refuse AskPayload found={length}");
    }
    if 40 + length != data.len() as u64 {
        return format!(
            "refuse Length promised={} found={}",
            40 + length,
            data.len()
        );
    }
    let tail = match flags {
        0 => format!(" form=Inline payload={}", hex(payload)),
        1 => match oracle_hand_over(payload) {
            Ok(text) => text,
            Err(refusal) => return refusal,
        },
        _ => " form=Ask".to_owned(),
    };
    let name: String = data[16..32]
        .iter()
        .filter(|byte| **byte != 0)
        .map(|byte| char::from(*byte))
        .collect();
    let [id, deadline] = [number(data, 8, 8), number(data, 32, 8)];
    format!("accept id={id} kind={name} deadline={deadline}{tail}")
}

fn oracle_reply(data: &[u8]) -> String {
    if data.len() < 32 {
        return format!("refuse Truncated needed=32 found={}", data.len());
    }
    let [version, flags] = [number(data, 0, 2), number(data, 2, 2)];
    if version != 1 {
        return format!("refuse Version found={version}");
    }
    if flags > 1 {
        return format!("refuse Flags found={flags}");
    }
    if number(data, 18, 2) != 0 {
        return format!("refuse Reserved found={}", number(data, 18, 2));
    }
    let status = number(data, 16, 2);
    let name = match status {
        1 => "Started",
        2 => "Part",
        16 => "Done",
        17 => "UnknownKind",
        18 => "Failed",
        19 => "Redirect",
        20 => "Busy",
        21 => "Expired",
        22 => "Poisoned",
        23 => "Closed",
        _ => return format!("refuse Status found={status}"),
    };
    let length = number(data, 4, 4);
    let payload = &data[32..];
    if flags == 1 && ![2, 16, 18].contains(&status) {
        return format!("refuse HandOverStatus status={status}");
    }
    if flags == 1 && length != 24 {
        return format!("refuse HandOverLength found={length}");
    }
    if status == 17 && !length.is_multiple_of(16) {
        return format!("refuse KindList found={length}");
    }
    if 32 + length != data.len() as u64 {
        return format!(
            "refuse Length promised={} found={}",
            32 + length,
            data.len()
        );
    }
    if status == 17 {
        for kind in payload.chunks(16) {
            if let Err(refusal) = oracle_kind(kind) {
                return refusal;
            }
        }
    }
    if status == 19 {
        let problem = match String::from_utf8(payload.to_vec()) {
            _ if length == 0 => Some("Empty"),
            _ if length > 200 => Some("TooLong"),
            Err(_) => Some("NotUtf8"),
            Ok(text) if text.starts_with('.') => Some("NotAName"),
            Ok(text) if text.chars().any(|c| c == '/' || c.is_control()) => Some("NotAName"),
            Ok(_) => None,
        };
        if let Some(problem) = problem {
            return format!("refuse Target{problem} found={length}");
        }
    }
    let tail = match flags {
        0 => format!(" form=Inline payload={}", hex(payload)),
        _ => match oracle_hand_over(payload) {
            Ok(text) => text,
            Err(refusal) => return refusal,
        },
    };
    let [id, code, epoch] = [number(data, 8, 8), number(data, 20, 4), number(data, 24, 8)];
    format!("accept id={id} status={name} code={code} epoch={epoch}{tail}")
}

fn oracle_kind(bytes: &[u8]) -> Result<(), String> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Err("refuse KindEmpty".to_owned());
    }
    for (at, byte) in bytes.iter().enumerate() {
        let rest_is_padding = bytes[at..].iter().all(|byte| *byte == 0);
        if !(33..=126).contains(byte) && !rest_is_padding {
            return Err(format!("refuse KindNotGraphic at={at} byte={byte}"));
        }
    }
    Ok(())
}

fn oracle_hand_over(payload: &[u8]) -> Result<String, String> {
    let [segment, length, offset] = [
        number(payload, 0, 8),
        number(payload, 8, 8),
        number(payload, 16, 8),
    ];
    if u128::from(length) + u128::from(offset) > u128::from(u64::MAX) {
        return Err(format!(
            "refuse HandOverRange offset={offset} length={length}"
        ));
    }
    Ok(format!(
        " form=HandOver number={segment} length={length} offset={offset}"
    ))
}
