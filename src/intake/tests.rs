//! Requests: the runs that they become, and the messages of refusals.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::catalogue::{Coalesce, Dedup, Param, Sequence, SequenceOnDead, Template};
use crate::records::Labels;
use crate::run::Guarantee;

const NOW: i64 = 1_900_000_000_000;
const HOUR: i64 = 3_600_000;

fn intake() -> Intake {
    let param = |required, default: Option<&str>| Param {
        required,
        default: default.map(Into::into),
    };
    Intake {
        queue: "default".into(),
        priority: 100,
        params: BTreeMap::from([
            ("to".to_owned(), param(true, None)),
            ("event".to_owned(), param(false, Some("welcome"))),
        ]),
        payload_max: 1000,
        dedup: None,
        sequence: None,
        attempts: 3,
        max_crashes: 3,
        deadline_ms: None,
        guarantee: Guarantee::AtLeastOnce,
        argument_params: vec!["to".into()],
    }
}

fn settings(zone: Option<&str>) -> Settings {
    Settings {
        timezone: zone.map(|name| name.parse().unwrap()),
        min_free: 0,
        max_size: None,
        ranks: [("high", 10), ("default", 50)]
            .map(|(name, rank)| (name.to_owned(), rank))
            .into(),
    }
}

fn request<'a>() -> Request<'a> {
    Request {
        job: "mail",
        params: vec![("to".into(), "bob".into())],
        ..Request::default()
    }
}

fn prepare(request: Request<'_>) -> Result<NewRun> {
    request.prepare(&intake(), &settings(None), NOW, [7; 16])
}

#[track_caller]
fn refused(request: Request<'_>, kind: Kind, message: &str) {
    let error = prepare(request).expect_err(message);
    assert_eq!((error.kind, error.message.as_str()), (kind, message));
    assert!(error.hint.is_some(), "{message}");
}

#[test]
fn missing_fields_come_from_the_job() {
    let run = prepare(request()).unwrap();
    assert_eq!(
        (run.queue.as_str(), run.priority, run.max_attempts),
        ("default", 100, 3)
    );
    assert_eq!(
        (run.due_ms, run.wait_set_ms, run.deadline_ms),
        (NOW, None, None)
    );
    assert_eq!(
        run.params.as_deref(),
        Some(r#"{"event":"welcome","to":"bob"}"#)
    );
    assert_eq!(
        (run.trigger, run.idempotency_key, run.dedup),
        (Trigger::Manual, [7; 16], None)
    );
}

#[test]
fn parameters_with_any_content_become_json() {
    for value in [
        "",
        "a\"b\\c",
        "tab\tnew\nline",
        "\u{1f}\u{7f}",
        "ж失🦀",
        "'; rm -rf / #",
        "{\"a\":1}",
    ] {
        let request = Request {
            params: vec![("to".into(), value.into())],
            ..request()
        };
        let json = prepare(request).unwrap().params.unwrap();
        let read: BTreeMap<String, String> = serde_json::from_str(&json).unwrap();
        assert_eq!(read["to"], value);
    }
}

#[test]
fn a_delay_counts_from_now_and_a_past_time_is_now() {
    let run = prepare(Request {
        delay: Some("5m"),
        ..request()
    })
    .unwrap();
    assert_eq!((run.due_ms, run.wait_set_ms), (NOW + 300_000, Some(NOW)));
    let run = prepare(Request {
        delay: Some("0s"),
        ..request()
    })
    .unwrap();
    assert_eq!((run.due_ms, run.wait_set_ms), (NOW, None));
    let run = prepare(Request {
        at: Some("2001-01-01T00:00:00Z"),
        ..request()
    })
    .unwrap();
    assert_eq!((run.due_ms, run.wait_set_ms), (NOW, None));
    let run = prepare(Request {
        at: Some("2040-01-01T00:00:00+05:00"),
        ..request()
    })
    .unwrap();
    assert_eq!((run.due_ms, run.wait_set_ms), (2_208_970_800_000, None));
}

#[test]
fn a_local_time_in_a_gap_is_after_it_and_one_that_happens_twice_is_the_first() {
    let at = |text| {
        let request = Request {
            at: Some(text),
            ..request()
        };
        request
            .prepare(&intake(), &settings(Some("Europe/Berlin")), NOW, [0; 16])
            .unwrap()
            .due_ms
    };
    let utc = |text: &str| crate::units::parse_time(text, None).unwrap();
    assert_eq!(at("2031-03-30T02:30"), utc("2031-03-30T01:00:00Z"));
    assert_eq!(at("2031-10-26T02:30"), utc("2031-10-26T00:30:00Z"));
    assert_eq!(at("2031-07-01T12:00"), utc("2031-07-01T10:00:00Z"));
}

#[test]
fn a_deadline_counts_from_the_due_time() {
    let run = prepare(Request {
        delay: Some("1h"),
        deadline: Some("2h"),
        ..request()
    })
    .unwrap();
    assert_eq!(run.deadline_ms, Some(NOW + 3 * HOUR));
    let run = prepare(Request {
        deadline: Some("2040-01-01T00:00:00Z"),
        ..request()
    })
    .unwrap();
    assert_eq!(run.deadline_ms, Some(2_208_988_800_000));
    let of_job = Intake {
        deadline_ms: Some(HOUR),
        ..intake()
    };
    let late = Request {
        delay: Some("1h"),
        ..request()
    };
    let run = late
        .prepare(&of_job, &settings(None), NOW, [0; 16])
        .unwrap();
    assert_eq!(run.deadline_ms, Some(NOW + 2 * HOUR));
}

#[test]
fn a_run_that_could_never_start_is_refused() {
    let never = "the run is due at 2030-03-17T17:46:40.000Z and could never start";
    for deadline in ["0s", "2001-01-01T00:00:00Z", "2030-03-17T17:46:40Z"] {
        let message = format!("bad deadline `{deadline}`: {never}");
        refused(
            Request {
                deadline: Some(deadline),
                ..request()
            },
            Kind::Usage,
            &message,
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn bad_values_are_refused_with_a_hint() {
    let long = "x".repeat(257);
    let too_long = format!(
        "bad correlation id `{}…`: 257 bytes, the maximum is 256",
        "x".repeat(100)
    );
    let cases: [(Request<'_>, Kind, &str); 17] = [
        (
            Request {
                queue: Some("hgih"),
                ..request()
            },
            Kind::NotFound,
            "unknown queue `hgih`",
        ),
        (
            Request {
                priority: Some(1001),
                ..request()
            },
            Kind::Usage,
            "bad priority `1001`",
        ),
        (
            Request {
                priority: Some(-1),
                ..request()
            },
            Kind::Usage,
            "bad priority `-1`",
        ),
        (
            Request {
                delay: Some("30"),
                ..request()
            },
            Kind::Usage,
            "bad duration `30`: a number has no unit",
        ),
        (
            Request {
                at: Some("soon"),
                ..request()
            },
            Kind::Usage,
            "bad time `soon`: it is not RFC 3339",
        ),
        (
            Request {
                at: Some("2031-07-01T12:00"),
                ..request()
            },
            Kind::Usage,
            "bad time `2031-07-01T12:00`: it has no offset and the catalogue names no zone",
        ),
        (
            Request {
                at: Some("2031-07-01T12:00Z"),
                delay: Some("1s"),
                ..request()
            },
            Kind::Usage,
            "both a delay and a start time are given",
        ),
        (
            Request {
                tenant: Some("../etc"),
                ..request()
            },
            Kind::Usage,
            "bad tenant `../etc`",
        ),
        (
            Request {
                tenant: Some(""),
                ..request()
            },
            Kind::Usage,
            "bad tenant ``",
        ),
        (
            Request {
                labels: Labels {
                    business_key: Some(String::new()),
                    ..Labels::default()
                },
                ..request()
            },
            Kind::Usage,
            "bad business key ``: it is empty",
        ),
        (
            Request {
                labels: Labels {
                    correlation_id: Some(long.clone()),
                    ..Labels::default()
                },
                ..request()
            },
            Kind::Usage,
            &too_long,
        ),
        (
            Request {
                labels: Labels {
                    initiator: Some("a\x1b[2J".into()),
                    ..Labels::default()
                },
                ..request()
            },
            Kind::Usage,
            "bad initiator `a\u{fffd}[2J`: it has control characters",
        ),
        (
            Request {
                dedup_key: Some("k"),
                ..request()
            },
            Kind::Usage,
            "a dedup key needs a window, and job `mail` has none",
        ),
        (
            Request {
                dedup_window: Some("1h"),
                ..request()
            },
            Kind::Usage,
            "a dedup window needs a key, and job `mail` has none",
        ),
        (
            Request {
                dedup_key: Some("k"),
                dedup_window: Some("0s"),
                ..request()
            },
            Kind::Usage,
            "bad dedup window `0s`",
        ),
        (
            Request {
                dedup_key: Some(""),
                dedup_window: Some("1h"),
                ..request()
            },
            Kind::Usage,
            "bad dedup key ``: it is empty",
        ),
        (
            Request {
                payload: Some(vec![b'1'; 1001]),
                ..request()
            },
            Kind::Usage,
            "the payload is too large: 1001 bytes, the maximum of job `mail` is 1000 bytes",
        ),
    ];
    for (request, kind, message) in cases {
        refused(request, kind, message);
    }
}

#[test]
fn bad_parameters_are_refused() {
    let given = |pairs: &[(&str, &str)]| Request {
        params: pairs
            .iter()
            .map(|&(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        ..request()
    };
    refused(given(&[]), Kind::Usage, "job `mail` needs parameter `to`");
    refused(
        given(&[("too", "x")]),
        Kind::Usage,
        "unknown parameter `too` of job `mail`",
    );
    refused(
        given(&[("to", "a\0b")]),
        Kind::Usage,
        "parameter `to` contains NUL",
    );
    refused(
        given(&[("to", "a"), ("to", "b")]),
        Kind::Usage,
        "parameter `to` of job `mail` is given twice",
    );
    refused(
        given(&[("to", "-rf")]),
        Kind::Usage,
        "parameter `to` of job `mail` is `-rf`: its argument would be read as an option",
    );
}

#[test]
fn a_given_key_replaces_the_template_and_a_given_window_the_jobs() {
    let key = Template::parse("{to}:{event}").unwrap();
    let of_job = Intake {
        dedup: Some(Dedup {
            key,
            window_ms: Some(HOUR),
            coalesce: None,
        }),
        ..intake()
    };
    let dedup = |request: Request<'_>| {
        let new = request.prepare(&of_job, &settings(None), NOW, [0; 16]);
        let dedup = new.unwrap().dedup.unwrap();
        (dedup.key, dedup.window_ms)
    };
    assert_eq!(dedup(request()), ("bob:welcome".into(), Some(HOUR)));
    assert_eq!(
        dedup(Request {
            dedup_window: Some("1m"),
            ..request()
        }),
        ("bob:welcome".into(), Some(60_000))
    );
    assert_eq!(
        dedup(Request {
            dedup_key: Some("k"),
            ..request()
        }),
        ("k".into(), Some(HOUR))
    );
}

#[test]
fn a_key_with_while_needs_no_window() {
    let of_job = Intake {
        dedup: Some(Dedup {
            key: Template::parse("{to}").unwrap(),
            window_ms: None,
            coalesce: Some(Coalesce::Replace),
        }),
        ..intake()
    };
    let dedup = |request: Request<'_>| {
        let new = request.prepare(&of_job, &settings(None), NOW, [0; 16]);
        new.unwrap().dedup.unwrap()
    };
    let expected = |key: &str, window_ms| NewDedup {
        key: key.into(),
        window_ms,
        coalesce: Some(Coalesce::Replace),
    };
    assert_eq!(dedup(request()), expected("bob", None));
    assert_eq!(
        dedup(Request {
            dedup_key: Some("k"),
            ..request()
        }),
        expected("k", None)
    );
    assert_eq!(
        dedup(Request {
            dedup_window: Some("1h"),
            ..request()
        }),
        expected("bob", Some(HOUR))
    );
}

#[test]
fn a_sequence_has_a_key_of_the_parameters() {
    let sequence = |key: &str, values: &[(&str, &str)]| {
        let of_job = Intake {
            sequence: Some(Sequence {
                key: Template::parse(key).unwrap(),
                on_dead: SequenceOnDead::Continue,
            }),
            ..intake()
        };
        let given = values.iter();
        let request = Request {
            params: given.map(|&(k, v)| (k.into(), v.into())).collect(),
            ..request()
        };
        request
            .prepare(&of_job, &settings(None), NOW, [0; 16])
            .map(|new| new.sequence.unwrap())
    };
    let parts = |to, event| sequence("{to}:{event}", &[("to", to), ("event", event)]);
    let one = parts("a:b", "c").unwrap();
    assert_ne!(one, parts("a", "b:c").unwrap());
    assert_eq!(one.on_dead, SequenceOnDead::Continue);
    let error = sequence("{event}", &[("to", "a"), ("event", "")]).unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::Usage, "bad sequence key ``: it is empty")
    );
}

#[test]
fn payloads_are_one_json_value_kept_byte_for_byte() {
    for good in [
        "1",
        " {\"a\" : [1.50, 1e3]}\n",
        "\"\\u0000\"",
        "null",
        "[[[[]]]]",
    ] {
        assert_eq!(
            payload_of(good.as_bytes().to_vec()).unwrap(),
            good.as_bytes()
        );
    }
    for (bad, message) in [
        (&b""[..], "the payload is not JSON: it is empty"),
        (b" \n", "the payload is not JSON: it is empty"),
        (
            b"hello",
            "the payload is not JSON: expected value at line 1 column 1",
        ),
        (
            b"{} {}",
            "the payload is not JSON: trailing characters at line 1 column 4",
        ),
        (b"\"\xff\"", "the payload is not JSON: it is not UTF-8"),
        (
            b"\"a\0\"",
            "the payload is not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 2",
        ),
    ] {
        let error = payload_of(bad.to_vec()).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (Kind::Usage, message));
    }
}

#[test]
fn a_line_has_every_field_of_a_request() {
    let text = r#"{"job":"mail","params":{"to":"b\u006fb","n":1.50,"ok":true},"payload":{"a" :1},"queue":"high",
        "priority":5,"delay":"5m","at":"2040-01-01T00:00:00Z","dedup_key":"k","dedup_window":"1h","deadline":"2h",
        "tenant":"t","correlation_id":"c","initiator":"i","business_key":"b"}"#;
    let mut line = Line::parse(text.as_bytes()).unwrap().unwrap();
    let request = line.request();
    assert_eq!(
        (request.job, request.queue, request.priority),
        ("mail", Some("high"), Some(5))
    );
    let params = [("to", "bob"), ("n", "1.50"), ("ok", "true")];
    assert_eq!(
        request.params,
        params.map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
    assert_eq!(request.payload.as_deref(), Some(&b"{\"a\" :1}"[..]));
    assert_eq!(
        (request.delay, request.at),
        (Some("5m"), Some("2040-01-01T00:00:00Z"))
    );
    assert_eq!(
        (request.dedup_key, request.dedup_window),
        (Some("k"), Some("1h"))
    );
    assert_eq!((request.deadline, request.tenant), (Some("2h"), Some("t")));
    let labels = request.labels.texts().map(|(_, text)| text);
    assert_eq!(labels, [Some("c"), Some("b"), Some("i")]);
}

#[test]
fn a_bad_line_says_where_and_why() {
    for (text, column, cause) in [
        ("{", Some(1), "it is not JSON: EOF while parsing an object"),
        ("nonsense", Some(1), "a JSON object was expected"),
        ("[1]", Some(1), "a JSON object was expected"),
        (
            "{\"job\":\"a\"} x",
            Some(13),
            "it is not JSON: trailing characters",
        ),
        ("{}", Some(2), "missing field `job`"),
        (
            "{\"job\":5}",
            Some(8),
            "invalid type: integer `5`, expected a string",
        ),
        (
            "{\"job\":\"a\",\"job\":\"b\"}",
            Some(16),
            "duplicate field `job`",
        ),
        (
            "{\"job\":\"a\",\"params\":{\"x\":[1]}}",
            Some(29),
            "parameter `x` is not a string, number or boolean",
        ),
        (
            "{\"job\":\"a\",\"params\":[]}",
            Some(20),
            "invalid type: sequence, expected an object of parameters",
        ),
    ] {
        let error = Line::parse(text.as_bytes()).unwrap_err();
        assert_eq!(
            (error.column, error.cause.as_str()),
            (column, cause),
            "{text}"
        );
    }
    let error = Line::parse(b"{\"job\":\"a\",\"delai\":1}").unwrap_err();
    assert!(
        error
            .cause
            .starts_with("unknown field `delai`, expected one of `job`, `params`")
    );
    let error = Line::parse(b"{\"job\":\"\xff\"}").unwrap_err();
    assert_eq!(
        (error.column, error.cause.as_str()),
        (Some(9), "it is not UTF-8")
    );
    assert!(Line::parse(b" \r").unwrap().is_none());
}

#[test]
fn only_a_w3c_trace_context_is_handed_on() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(trace_context(good), Some(good));
    for bad in [
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
    ] {
        assert_eq!(trace_context(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Line::parse(&line);
    }

    #[test]
    fn values_of_a_line_arrive_as_they_were(value in "\\PC{0,12}|[\\x00-\\x1f\"\\\\/]{0,6}") {
        let json = serde_json::json!({"job": "mail", "params": {"to": value}, "payload": value}).to_string();
        let mut line = Line::parse(json.as_bytes()).unwrap().unwrap();
        let request = line.request();
        prop_assert_eq!(&request.params[0].1, &value);
        let payload: String = serde_json::from_slice(&request.payload.unwrap()).unwrap();
        prop_assert_eq!(payload, value);
    }
}
