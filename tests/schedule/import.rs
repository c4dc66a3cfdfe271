//! Holidays from iCalendar files.

use jobctl::schedule::import_ics;

fn file(event: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n{event}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

fn dates(event: &str) -> Vec<String> {
    import_ics(&file(event), 2025, 2027)
        .unwrap()
        .into_iter()
        .map(|holiday| holiday.date.to_string())
        .collect()
}

#[test]
fn all_day_events_and_yearly_recurrences_are_read() {
    assert_eq!(
        dates("DTSTART;VALUE=DATE:20260101\nSUMMARY:New\n  Year"),
        ["2026-01-01"]
    );
    assert_eq!(
        dates("DTSTART;VALUE=DATE:20261231\nDTEND;VALUE=DATE:20270102"),
        ["2026-12-31", "2027-01-01"]
    );
    assert_eq!(
        dates(
            "RRULE:FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=1\nDTSTART;VALUE=DATE:20200501\nEXDATE;VALUE=DATE:20260501"
        ),
        ["2025-05-01", "2027-05-01"]
    );
    assert_eq!(
        dates("DTSTART;VALUE=DATE:20200501\nRRULE:FREQ=YEARLY;UNTIL=20250501T000000Z"),
        ["2025-05-01"]
    );
    assert_eq!(
        dates("DTSTART;VALUE=DATE:20200501\nRRULE:FREQ=YEARLY;COUNT=6"),
        ["2025-05-01"]
    );
    assert_eq!(
        dates("DTSTART;VALUE=DATE:20200501\nRRULE:FREQ=YEARLY;INTERVAL=3"),
        ["2026-05-01"]
    );
    assert_eq!(
        dates("DTSTART;VALUE=DATE:20260101\nDURATION:P2D"),
        ["2026-01-01", "2026-01-02"]
    );
    assert!(dates("DTSTART;VALUE=DATE:20260101\nSTATUS:CANCELLED").is_empty());
    let names = import_ics(
        &file("DTSTART;VALUE=DATE:20260101\nSUMMARY:New\r\n  Year\\, 1"),
        2026,
        2026,
    );
    assert_eq!(names.unwrap()[0].name, "New Year, 1");
}

#[test]
fn anything_else_is_refused_with_its_line() {
    let cases = [
        ("DTSTART:20260101T090000Z", 4),
        ("DTSTART;TZID=Europe/Berlin:20260101T090000", 4),
        ("SUMMARY:x\nDTSTART;VALUE=DATE:20260230", 5),
        ("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=MONTHLY", 5),
        (
            "DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=YEARLY;BYDAY=4TH",
            5,
        ),
        ("DTSTART;VALUE=DATE:20260101\nRDATE;VALUE=DATE:20260201", 5),
        ("SUMMARY:no start", 3),
        ("DTSTART;VALUE=DATE:20260102\nDTEND;VALUE=DATE:20260101", 3),
        ("DTSTART;VALUE=DATE:20260102\nDURATION:PT5H", 5),
        ("garbage", 4),
        (
            "DTSTART;VALUE=DATE:20260102\nDTSTART;VALUE=DATE:20260103",
            5,
        ),
        // Without BYMONTH, the first of every month.
        (
            "DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=YEARLY;BYMONTHDAY=1",
            5,
        ),
    ];
    for (event, line) in cases {
        let error = import_ics(&file(event), 2025, 2027).unwrap_err();
        assert_eq!(error.line, line, "{event}: {error}");
    }
    for text in [
        "hello",
        "BEGIN:VCALENDAR",
        "BEGIN:VJOURNAL\nEND:VJOURNAL",
        "END:VCALENDAR",
        "DTSTART:20260101",
    ] {
        assert!(import_ics(text, 2025, 2027).is_err(), "{text}");
    }
    assert!(import_ics("", 2025, 2027).unwrap().is_empty());
}
