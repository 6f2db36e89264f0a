//! The end of a request's body, and `Expect`: RFC 9112, section 6, and RFC 9110, section 10.1.1.
//!
//! The parser rejects malformed requests. This module rejects ambiguous ones, which a proxy could split differently:
//! request smuggling.

use hyper::header::{EXPECT, TRANSFER_ENCODING};
use hyper::{Method, Request, StatusCode};

/// Rejects ambiguous framing and unknown expectations.
///
/// # Errors
/// The status and the text of the response.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), (StatusCode, &'static str)> {
    const CODING: &str =
        "the only Transfer-Encoding that is understood is chunked; a body is compressed by Content-Encoding\n";
    if request.method() == Method::CONNECT {
        return Err((StatusCode::NOT_IMPLEMENTED, "there are no tunnels here\n"));
    }
    let codings =
        request.headers().get_all(TRANSFER_ENCODING).iter().flat_map(|line| line.as_bytes().split(|&b| b == b','));
    let codings: Vec<bool> = codings.map(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked")).collect();
    match codings[..] {
        [] | [true] => {}
        _ if codings.contains(&false) => return Err((StatusCode::NOT_IMPLEMENTED, CODING)),
        _ => return Err((StatusCode::BAD_REQUEST, "expected Transfer-Encoding: chunked once, found more\n")),
    }
    let mut expected = request.headers().get_all(EXPECT).iter();
    if expected.any(|expected| !expected.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err((StatusCode::EXPECTATION_FAILED, "expected Expect: 100-continue or none, found something else\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    fn checked(header: HeaderName, values: &[&str]) -> u16 {
        let request = values.iter().fold(Request::builder(), |request, value| request.header(&header, *value));
        check(&request.body(()).unwrap()).map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn a_body_is_chunked_once_or_not_at_all() {
        let of = |values: &[&str]| checked(TRANSFER_ENCODING, values);
        for good in [&[][..], &["chunked"], &["Chunked"], &[" chunked\t"]] {
            assert_eq!(of(good), 200, "{good:?}");
        }
        for unknown in
            [&["gzip, chunked"][..], &["gzip", "chunked"], &["identity"], &[", chunked"], &["x-chunked"], &[""]]
        {
            assert_eq!(of(unknown), 501, "{unknown:?}");
        }
        for twice in [&["chunked, chunked"][..], &["chunked", "chunked"]] {
            assert_eq!(of(twice), 400, "{twice:?}");
        }
    }

    #[test]
    fn nothing_is_expected_that_is_not_done() {
        let of = |values: &[&str]| checked(EXPECT, values);
        assert_eq!([of(&[]), of(&["100-continue"]), of(&["100-Continue"])], [200; 3]);
        assert_eq!([of(&["200-ok"]), of(&["100-continue", "more"]), of(&[""])], [417; 3]);
    }
}
