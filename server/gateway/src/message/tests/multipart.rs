//! Forms with files.

use super::*;

fn form(parts: &str) -> Request {
    let body = parts.replace('\n', "\r\n");
    Request::new("POST", "/upload").typed("multipart/form-data; boundary=\"XX\"").body(body)
}

#[test]
fn fields_files_and_json_are_read() {
    let asked = form(
        "--XX\nContent-Disposition: form-data; name=\"to\"\n\nBob\n--XX\nContent-Disposition: form-data; name=\"to\"\n\nEve\
         \n--XX\nContent-Disposition: form-data; name=data\nContent-Type: application/json\n\n{\"a\":[1]}\
         \n--XX\ncontent-disposition: form-data; name=\"f\"; filename=\"a;b.png\"\nContent-Type: image/PNG\n\nabc\n--XX--\n",
    )
    .asked(Kind::Auto);
    let file = json!({"fileName": "a;b.png", "contentType": "image/png", "bytes": 3});
    assert_eq!(asked.arguments["body"], json!({"to": ["Bob", "Eve"], "data": {"a": [1]}, "f": file}));
    assert_eq!(asked.status(), Status::Truncated);
}

#[test]
fn text_alone_is_whole() {
    let asked =
        form("--XX\nContent-Disposition: form-data; name=\"a\"\nContent-Type: text/plain\n\nx\n\ny\n--XX--")
            .asked(Kind::Http);
    assert_eq!((asked.arguments["body"]["a"].as_str(), asked.partial), (Some("x\r\n\r\ny"), None));
    assert!(form("--XX--").asked(Kind::Http).partial.is_none());
}

#[test]
fn a_name_beyond_ascii_comes_encoded() {
    let asked =
        form("--XX\nContent-Disposition: form-data; name=f; filename*=UTF-8''%C3%A9.txt\n\nx\n--XX--")
            .asked(Kind::Http);
    assert_eq!(asked.arguments["body"]["f"]["fileName"], "é.txt");
}

#[test]
fn what_readers_read_differently_is_unparsable() {
    let field = "--XX\nContent-Disposition: form-data; name=\"a\"\n\nx";
    for text in [
        "x\n--XX--",
        "--XX",
        field,
        &format!("{field}\n--XX--x"),
        &format!("{field}\n--XXY\n--XX--"),
        "--XX\n\nx\n--XX--",
        "--XX\nContent-Disposition: form-data\n\nx\n--XX--",
        "--XX\nContent-Disposition: attachment; name=\"a\"\n\nx\n--XX--",
        "--XX\nContent-Disposition: form-data; name=\"a\"; name=\"b\"\n\nx\n--XX--",
        "--XX\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"; filename*=UTF-8''c\n\nx\n--XX--",
        "--XX\nContent-Disposition: form-data; name=\"a\\\"b\"\n\nx\n--XX--",
        "--XX\nContent-Disposition: form-data; name*=UTF-8''a\n\nx\n--XX--",
        "--XX\nContent-Disposition: form-data; name=\"a\"\nContent-Disposition: form-data; name=\"b\"\n\nx\n--XX--",
        "--XX\nContent-Disposition: form-data;\n name=\"a\"\n\nx\n--XX--",
        "--XX\nContent-Disposition: form-data; name=\"a\"\nContent-Type: application/json\n\n{\"a\":1,\"a\":2}\n--XX--",
    ] {
        assert_eq!(form(text).status(Kind::Http), Status::Unparsable, "{text}");
    }
    assert_eq!(form("--XX--").typed("multipart/form-data").status(Kind::Http), Status::Unparsable);
}

#[test]
fn other_multipart_is_not_read() {
    assert_eq!(
        form("--XX--").typed("multipart/mixed; boundary=XX").asked(Kind::Http).status(),
        Status::Truncated
    );
}
