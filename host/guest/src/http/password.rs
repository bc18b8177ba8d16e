//! Puts a typed password into a request, so that the plugin need not see it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::HttpError;
use super::request::{Prepared, encode};

/// Where the password goes.
#[derive(Debug)]
pub(crate) enum Place {
    /// A member of the body, a JSON object.
    Json(String),
    /// A field of the body, a form.
    Form(String),
    /// Basic authentication with this user name.
    Basic(String),
}

/// Puts `password` there. What the host itself keeps of it meanwhile is wiped; what HTTP and TLS copy out
/// of the request is theirs.
pub(crate) fn put(request: &mut Prepared<'_>, password: &str, place: Place) -> Result<(), HttpError> {
    match place {
        Place::Json(name) => {
            let mut object: Map<String, Value> = serde_json::from_slice(&request.body)
                .map_err(|_| HttpError::Refused("the body is not a JSON object".into()))?;
            object.insert(name, Value::String(password.to_owned()));
            request.body = serde_json::to_vec(&object).map_err(|e| HttpError::Refused(e.to_string()))?;
            wipe(object);
        }
        Place::Form(name) => {
            let mut field = Zeroizing::new(String::new());
            if !request.body.is_empty() {
                field.push('&');
            }
            encode(&mut field, &name);
            field.push('=');
            encode(&mut field, password);
            request.body.extend_from_slice(field.as_bytes());
        }
        Place::Basic(user) => {
            if user.contains(|c: char| c == ':' || c.is_control()) {
                return Err(HttpError::Refused("this user name does not fit Basic authentication".into()));
            }
            let pair = Zeroizing::new(format!("{user}:{password}"));
            let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
            let mut value =
                HeaderValue::from_str(&text).map_err(|error| HttpError::Refused(error.to_string()))?;
            value.set_sensitive(true);
            request.headers.insert(AUTHORIZATION, value);
        }
    }
    Ok(())
}

fn wipe(object: Map<String, Value>) {
    for (_, value) in object {
        if let Value::String(text) = value {
            drop(Zeroizing::new(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpHost;
    use crate::http::request::{Request, prepare};

    fn with(body: &str, place: Place) -> Result<(String, Option<String>), HttpError> {
        let host = HttpHost::try_from("a.example:443".to_owned()).unwrap();
        let request = Request { body: body.into(), ..Request::default() };
        let mut prepared = prepare(&host, request).unwrap();
        put(&mut prepared, "p&\"ä", place)?;
        let header = prepared.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        Ok((String::from_utf8(prepared.body).unwrap(), header))
    }

    #[test]
    fn a_password_is_put_where_it_belongs() {
        let json = with(r#"{"user":"alice"}"#, Place::Json("password".into())).unwrap();
        assert_eq!(json.0, r#"{"password":"p&\"ä","user":"alice"}"#);
        assert_eq!(with("u=a", Place::Form("p w".into())).unwrap().0, "u=a&p%20w=p%26%22%C3%A4");
        assert_eq!(with("", Place::Form("p".into())).unwrap().0, "p=p%26%22%C3%A4");
        assert_eq!(with("", Place::Basic("al".into())).unwrap().1.unwrap(), "Basic YWw6cCYiw6Q=");
    }

    #[test]
    fn what_has_no_place_for_it_is_refused() {
        for body in ["", "[]", "{", "1"] {
            assert!(with(body, Place::Json("p".into())).is_err(), "{body}");
        }
        assert!(with("", Place::Basic("a:b".into())).is_err());
    }
}
