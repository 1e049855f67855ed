use super::*;

#[test]
fn a_year_is_of_dates_and_instants_alone_and_in_utc() {
    let year = |base: &str| masked(&MaskOperator::Year, "v", base);
    for (base, zoned) in [
        ("date", false),
        ("timestamp without time zone", false),
        ("timestamp(3) without time zone", false),
        ("timestamp with time zone", true),
        ("timestamp(3) with time zone", true),
    ] {
        assert_eq!(year(base).unwrap().contains(&in_utc("v")), zoned, "{base}");
    }
    assert!(!is_zoned("time with time zone") && !is_zoned("timestamp without time zone"));
    for base in ["text", "interval", "time without time zone", "timestamp(3) with time zone[]", "integer"] {
        assert_eq!(year(base), None, "{base}");
    }
}

#[test]
fn only_where_a_bucket_could_fail_it_is_left_out() {
    for (base, left_out) in [("numeric(400,0)", false), ("real", false), ("double precision", true)] {
        let bucket = masked(&MaskOperator::Bucket(10), "v", base).unwrap();
        assert_eq!(bucket.contains("1e300"), left_out, "{base}");
    }
}

#[test]
fn a_text_stays_a_text_whatever_is_in_it() {
    for (text, written) in [("it's", "'it''s'"), ("a\\b'", "E'a\\\\b'''"), ("a\0b", "'ab'")] {
        assert_eq!(literal(text), written);
    }
}

#[test]
fn a_bucket_fails_on_no_number() {
    let bucket = |base: &str| masked(&MaskOperator::Bucket(10), "v", base).unwrap();
    // A quotient of many digits would be rounded, up beyond what the type holds.
    assert_eq!(bucket("numeric(20,0)"), "div(v, 10) * 10");
    // That of a number near zero would be none at all.
    assert!(bucket("double precision").starts_with("CASE WHEN abs(v) < 10 THEN 0 WHEN NOT ("));
    assert_eq!(bucket("real"), "trunc(v / 10) * 10 + 0");
}
