//! Strings and numbers.

use serde_json::{Number, Value};

use super::{Fault, Reader};

/// The largest integer that a double holds with all its neighbours.
const SAFE_INTEGER: u64 = 1 << 53;

impl Reader<'_> {
    pub(super) fn string(&mut self) -> Result<String, Fault> {
        self.expect(b'"')?;
        let mut text = String::new();
        loop {
            let start = self.at;
            let plain = |b: &u8| *b != b'"' && *b != b'\\' && *b >= b' ';
            self.at += self.rest().iter().take_while(|b| plain(b)).count();
            text.push_str(self.since(start));
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => text.push(self.escape()?),
                _ => return Err(self.wrong("a control character in a string")),
            }
        }
        self.at += 1;
        Ok(text)
    }

    fn escape(&mut self) -> Result<char, Fault> {
        self.at += 1;
        let plain = match self.peek() {
            Some(b'u') => return self.unicode(),
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return Err(self.wrong("no escape")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// Half a pair is no character: parsers differ in what they make of it.
    fn unicode(&mut self) -> Result<char, Fault> {
        let first = self.unit()?;
        let code = match first {
            0xD800..=0xDBFF => {
                self.expect(b'\\')?;
                if self.peek() != Some(b'u') {
                    return Err(self.wrong("half a character"));
                }
                match self.unit()? {
                    second @ 0xDC00..=0xDFFF => 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                    _ => return Err(self.wrong("half a character")),
                }
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.wrong("half a character"))
    }

    /// Four digits after the `u`.
    fn unit(&mut self) -> Result<u32, Fault> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.wrong("no hexadecimal digit"))?;
            self.at += 1;
        }
        Ok(unit)
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let count = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.wrong("no digit")) } else { Ok(()) }
    }

    pub(super) fn number(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut is_whole = true;
        if self.take(b'.') {
            is_whole = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            is_whole = false;
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let written = self.since(start);
        // An account number that loses its last digits is another account.
        match written.parse::<i64>() {
            Ok(n) if written == "-0" => Ok(Value::from(-(n as f64))),
            Ok(n) if n.unsigned_abs() <= SAFE_INTEGER => Ok(Value::from(n)),
            _ if is_whole => Ok(Value::String(written.to_owned())),
            _ => self.double(written),
        }
    }

    fn double(&self, written: &str) -> Result<Value, Fault> {
        let number = written.parse().ok().and_then(Number::from_f64).map(Value::Number);
        let problem =
            || Fault { at_end: false, problem: format!("a number out of range before byte {}", self.at) };
        number.ok_or_else(problem)
    }
}
