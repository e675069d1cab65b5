//! Canonical JSON: RFC 8785 (JCS), with one rule of our own.
//!
//! Keys are ordered by their UTF-16 code units, numbers are written as ECMAScript writes them, strings with the fewest
//! escapes. RFC 8785 knows doubles only; an integer whose size is above 2^53 is written as a string, `"n:"` and its
//! digits, because as a double it would be another integer.
//!
//! Rhumb's own reader of JSON hands such integers on as strings of their digits already, so the digest of a request that
//! came as JSON text has the digits without `n:`; `n:` is for values that were built from 64-bit integers. A string that
//! begins with `n:` itself is written as it is.

use serde_json::{Map, Number, Value};

/// Integers up to this size are doubles without loss.
const SAFE_INTEGER: u64 = 1 << 53;

/// The canonical form.
pub fn jcs(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => write_number(out, n),
        Value::String(s) => write_string(out, s),
        Value::Array(items) => write_array(out, items),
        Value::Object(map) => write_object(out, map),
    }
}

fn write_array(out: &mut String, items: &[Value]) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_value(out, item);
    }
    out.push(']');
}

fn write_object(out: &mut String, map: &Map<String, Value>) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (i, (key, value)) in entries.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        write_value(out, value);
    }
    out.push('}');
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_number(out: &mut String, number: &Number) {
    let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    if size.is_some_and(|n| n > SAFE_INTEGER) {
        out.push_str(&format!("\"n:{number}\""));
    } else {
        // A serde_json number is always one of the three, and a double of it is finite.
        out.push_str(&ecmascript(number.as_f64().unwrap_or_default()));
    }
}

/// Number::toString of ECMAScript (ECMA-262, 6.1.6.1.20), radix 10, for finite numbers.
fn ecmascript(x: f64) -> String {
    // serde_json writes the shortest digits that read back as the same double, and of two that are as near the even ones,
    // as RFC 8785 asks; Rust's own formatting takes the upper ones.
    let shortest = Number::from_f64(x.abs()).map(|n| n.to_string()).unwrap_or_default();
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return "0".to_owned();
    }
    let length = |text: &str| i32::try_from(text.len()).unwrap_or(i32::MAX);
    let leading = length(&all) - length(digits);
    let point = length(whole) - leading + exponent.parse::<i32>().unwrap_or_default();
    let sign = if x < 0.0 { "-" } else { "" };
    format!("{sign}{}", place_point(digits.trim_end_matches('0'), point))
}

/// `digits` with the decimal point after the first `point` of them.
fn place_point(digits: &str, point: i32) -> String {
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    let (whole, rest) =
        usize::try_from(point).ok().and_then(|n| digits.split_at_checked(n)).unwrap_or((digits, ""));
    match point {
        n if count <= n && n <= 21 => format!("{digits}{}", zeros(n - count)),
        n if 0 < n && n <= 21 => format!("{whole}.{rest}"),
        n if -6 < n && n <= 0 => format!("0.{}{digits}", zeros(-n)),
        n => with_exponent(digits, n - 1),
    }
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
    let point = if rest.is_empty() { "" } else { "." };
    format!("{first}{point}{rest}e{exponent:+}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn numbers_of_the_rfc_are_written_as_the_rfc_writes_them() {
        // RFC 8785, appendix B.
        let vectors = [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ];
        for (bits, want) in vectors {
            assert_eq!(ecmascript(f64::from_bits(bits)), want, "{bits:016x}");
        }
    }

    #[test]
    fn the_sample_of_the_rfc_is_written_as_the_rfc_writes_it() {
        // RFC 8785, section 3.2.2.
        let value: Value = serde_json::from_str(
            r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
                "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
        )
        .unwrap();
        let want = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                    \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(jcs(&value), want);
    }

    #[test]
    fn keys_are_ordered_by_utf16_code_units() {
        // RFC 8785, section 3.2.3: U+1F600 is a surrogate pair and stands before U+FB33.
        let value =
            json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        let want =
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
        assert_eq!(jcs(&value), want);
    }

    #[test]
    fn an_integer_beyond_a_double_keeps_its_digits() {
        assert_eq!(jcs(&json!(9_007_199_254_740_992_u64)), "9007199254740992");
        assert_eq!(jcs(&json!(9_007_199_254_740_993_u64)), "\"n:9007199254740993\"");
        assert_eq!(jcs(&json!(i64::MIN)), "\"n:-9223372036854775808\"");
    }

    #[test]
    fn a_whole_double_and_its_integer_are_the_same_number() {
        assert_eq!(jcs(&json!([1.0, -0.0, 100.0])), jcs(&json!([1, 0, 100])));
    }

    proptest! {
        #[test]
        fn every_double_reads_back_as_itself(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            prop_assume!(x.is_finite());
            prop_assert_eq!(ecmascript(x).parse::<f64>().unwrap(), x);
        }
    }
}
