//! Percent-encoding (RFC 3986 section 2.1), read strictly.

/// Decodes every escape, once. None where a `%` is not followed by two hexadecimal digits.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once_and_only_whole_escapes() {
        assert_eq!(decode(b"a%2Fb%2fc+%252e"), Some(b"a/b/c+%2e".to_vec()));
        assert_eq!(decode(b"%00%ff"), Some(vec![0x00, 0xff]));
        for bad in ["%", "%2", "%zz", "%2g", "%%20", "%+1", "a%"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
