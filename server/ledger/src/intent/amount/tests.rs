use super::*;
use serde_json::json;

fn check_as(effect: Effect, limits: &Value, arguments: Value) -> Result<(), Breach> {
    let Value::Object(arguments) = arguments else { panic!("not an object") };
    let limits = serde_json::from_value(limits.clone()).unwrap();
    check(&limits, &Action { tool: "t".into(), arguments, effect, ..Action::default() })
}

fn passes(limits: &Value, arguments: Value) -> bool {
    check_as(Effect::Write, limits, arguments).is_ok()
}

#[test]
fn amounts_up_to_the_limit_pass_and_no_others() {
    let eur = json!({"EUR": 100});
    for good in [
        json!({"amount": 100, "currency": "EUR"}),
        json!({"amount": 98.7, "currency": "eur"}),
        json!({"amount": "98.70", "currency_code": "EUR"}),
        json!({"amount": "EUR 98.70"}),
        json!({"amount": "98.70 EUR"}),
        json!({"amount": "\u{20ac}98.70"}),
        json!({"amount_eur": 98.7}),
        json!({"amountEur": "98.7"}),
        json!({"amount": {"value": "98.70", "currency": "EUR"}}),
        json!({"currency": "EUR", "items": [{"price": 1}, {"price": 99}]}),
        json!({"amount": null}),
        json!({"path": "bill.txt"}),
    ] {
        assert!(passes(&eur, good.clone()), "{good}");
    }
    for bad in [
        json!({"amount": 100.01, "currency": "EUR"}),
        json!({"amount": 1e6, "currency": "EUR"}),
        json!({"amount": "EUR 100.01"}),
        json!({"amount": "1,000.00", "currency": "EUR"}),
        json!({"amount": {"value": "980.70", "currency": "EUR"}}),
        json!({"currency": "EUR", "items": [{"price": 1}, {"price": 101}]}),
        json!({"what": "500 EUR"}),
        json!({"amounts": [1, 500], "currency": "EUR"}),
        json!({"payload": "{\"amount\": 500, \"currency\": \"EUR\"}"}),
    ] {
        assert!(!passes(&eur, bad.clone()), "{bad}");
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    for text in [
        "1e6",
        "-5",
        "5-",
        "+5",
        "0x10",
        "1_000",
        "1 000",
        "1,5",
        "1.000.000",
        "five",
        "",
        "5k",
        "5 apples",
        "\u{661}\u{660}\u{660}",
        "\u{ff11}\u{ff10}",
        "1/2",
        "5%",
        ".5",
        "5.",
        "NaN",
        "inf",
        "5\u{a0}EUR",
        "\u{a5}5",
        "EUR 5 USD",
        "5 EUR or more",
        "\u{200b}5",
    ] {
        assert!(!passes(&json!({"*": 1000}), json!({"amount": text})), "{text:?}");
    }
    for value in [json!(true), json!({"x": "no"}), json!(["no"]), json!(-1)] {
        let at_top = !passes(&json!({"*": 1000}), json!({"amount": value}));
        assert!(at_top || value == json!({"x": "no"}), "{value}");
    }
}

#[test]
fn a_number_with_two_readings_has_the_larger_one() {
    assert!(!passes(&json!({"*": 100}), json!({"amount": "1.000"})));
    assert!(passes(&json!({"*": 1000}), json!({"amount": "1.000"})));
    assert!(!passes(&json!({"*": 100}), json!({"amount": "98,700"})));
}

#[test]
fn a_currency_without_a_limit_is_refused_unless_there_is_a_star() {
    let usd = json!({"amount": 5, "currency": "USD"});
    assert!(!passes(&json!({"EUR": 100}), usd.clone()));
    assert!(passes(&json!({"EUR": 1, "*": 100}), usd));
    assert!(!passes(&json!({"EUR": 100}), json!({"amount": 5})), "no currency, no star");
    assert!(passes(&json!({"*": 100}), json!({"amount": 5})));
    assert!(!passes(&json!({"EUR": 1, "*": 100}), json!({"amount": 5, "currency": "EUR"})), "its own limit");
}

#[test]
fn contradicting_currencies_are_refused() {
    let both = json!({"EUR": 100, "USD": 100});
    assert!(!passes(&both, json!({"amount": "5 USD", "currency": "EUR"})));
    assert!(!passes(&both, json!({"amount": 5, "currency": "EUR", "currency_code": "USD"})));
    assert!(!passes(&both, json!({"amount": 5, "currency": 978})));
}

#[test]
fn an_odd_name_hides_no_number_from_the_limit_of_a_write() {
    let eur = json!({"EUR": 100});
    assert!(!passes(&eur, json!({"to": "UK1", "x": 5000})));
    assert!(!passes(&eur, json!({"to": "UK1", "x": "5000"})));
    assert!(!passes(&eur, json!({"to": "UK1", "x": "1e6"})));
    assert!(!passes(&eur, json!({"amount": {"number": 5000, "currency": "EUR"}})));
    assert!(passes(&eur, json!({"to": "UK1", "when": "2026-11-22"})));
    assert!(passes(&eur, json!({"to": "UK1", "priority": 3})));
    assert!(check_as(Effect::Read, &eur, json!({"offset_bytes": 5000, "x": 5000})).is_ok());
    assert!(check_as(Effect::Read, &eur, json!({"amount": 5000, "currency": "EUR"})).is_err());
    assert!(check_as(Effect::Unknown, &eur, json!({"x": 5000})).is_err());
}

#[test]
fn keys_that_name_something_else_are_no_amounts() {
    let arguments = json!({"account_id": 12345678, "recipient": "1234567890", "year": 2026, "page": 900,
        "iban": "GB29NWBK60161331926819", "date": "2026-11-22", "phoneNumber": "5551234567"});
    assert!(passes(&json!({"EUR": 100}), arguments));
}

#[test]
fn a_unit_of_thousands_is_refused() {
    for name in ["amount_millions", "price_k", "amountThousands"] {
        assert!(!passes(&json!({"*": 100}), json!({name: 5})), "{name}");
    }
    assert!(!passes(&json!({"EUR": 100}), json!({"amount_cents": 9870, "currency": "EUR"})));
}

#[test]
fn without_a_limit_nothing_is_read() {
    assert!(passes(&json!({}), json!({"amount": "lots"})));
}

#[test]
fn deep_arguments_are_refused_and_do_not_overflow() {
    let mut value = json!({"amount": 1});
    for _ in 0..100 {
        value = json!({"a": value});
    }
    assert!(!passes(&json!({"*": 1}), value));
}
