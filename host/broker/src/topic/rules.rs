//! What matches what, filter by filter. The trees do the same for many at once.

/// Whether `topic` matches `filter`, both valid and without `$share/GROUP/` (section 4.7).
///
/// `sport/#` matches `sport` too; a leading wildcard does not match a topic that starts with `$`
/// [MQTT-4.7.2-1].
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut names = topic.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match names.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

/// Whether every topic that matches `inner` matches `outer` too: the question of rights, where
/// `outer` is what is allowed and `inner` what is asked for. Both valid, without `$share/GROUP/`.
pub fn covers(outer: &str, inner: &str) -> bool {
    if inner.starts_with('$') && outer.starts_with(['+', '#']) {
        return false;
    }
    // These match the same topics, because no topic is empty; the longer one says so in its levels.
    let inner = match inner {
        "#" => "+/#",
        "/#" => "/+/#",
        inner => inner,
    };
    let mut asked = inner.split('/');
    for level in outer.split('/') {
        if level == "#" {
            return true;
        }
        match asked.next() {
            Some("#") | None => return false,
            Some(inner) if level == "+" || level == inner => {}
            Some(_) => return false,
        }
    }
    asked.next().is_none()
}
