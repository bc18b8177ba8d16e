//! `GET /v1/openapi.json`: the application's API, described after OpenAPI 3.1.

use axum::Json;
use serde_json::{Value, json};

use super::Kind;

/// Serves the description.
pub(super) async fn document() -> Json<Value> {
    Json(describe())
}

/// The description.
pub(super) fn describe() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Postern application API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Login, directory and history. Messages travel by MQTT.",
        },
        "paths": paths(),
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`<token id>:<bearer>` as the login answered them",
                },
            },
            "schemas": schemas(),
            "responses": {
                "Problem": {
                    "description": kinds(),
                    "content": { "application/problem+json": { "schema": schema("Problem") } },
                },
            },
        },
    })
}

fn kinds() -> String {
    let kind = |kind: &Kind| {
        let (name, status, title) = kind.parts();
        format!("{} `urn:postern:problem:{name}`: {title}", status.as_u16())
    };
    let kinds: Vec<String> = Kind::ALL.iter().map(kind).collect();
    format!("What went wrong (RFC 9457). {}.", kinds.join("; "))
}

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn json_of(name: &str) -> Value {
    json!({ "application/json": { "schema": schema(name) } })
}

/// An operation; `answer` names a schema, or is empty for an answer without body.
fn operation(id: &str, summary: &str, answer: &str) -> Value {
    let (status, done) = if answer.is_empty() {
        ("204", json!({ "description": "Done" }))
    } else {
        ("200", json!({ "description": "Done", "content": json_of(answer) }))
    };
    json!({
        "operationId": id,
        "summary": summary,
        "security": [{ "token": [] }],
        "responses": { status: done, "default": { "$ref": "#/components/responses/Problem" } },
    })
}

fn open(mut operation: Value) -> Value {
    with(&mut operation, "security", json!([]));
    operation
}

fn takes(mut operation: Value, body: &str) -> Value {
    with(&mut operation, "requestBody", json!({ "required": true, "content": json_of(body) }));
    operation
}

fn asks(mut operation: Value, parameters: &[(&str, Value, &str)]) -> Value {
    let parameter = |(name, schema, description): &(&str, Value, &str)| json!({ "name": name, "in": "query", "required": false, "schema": schema, "description": description });
    with(&mut operation, "parameters", parameters.iter().map(parameter).collect());
    operation
}

fn with(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn paths() -> Value {
    let text = || json!({ "type": "string" });
    let count = |most: u32| json!({ "type": "integer", "minimum": 1, "maximum": most });
    let history = [
        ("with", text(), "Messages with this user; one of with, group and notifications, or none for all"),
        ("group", text(), "Messages of this group"),
        ("notifications", json!({ "type": "boolean" }), "Notifications"),
        ("before", json!({ "type": "integer" }), "Only what is older than this seq"),
        ("limit", count(200), "Messages of the page; 50 when not said"),
    ];
    let people = [
        ("after", text(), "Only user ids after this"),
        ("limit", count(500), "People of the page; 100 when not said"),
    ];
    json!({
        "/v1/login": {
            "post": takes(open(operation("login", "Log in by a password or by a key pair", "LoggedIn")), "Login"),
        },
        "/v1/login/challenge": {
            "get": open(operation("login_challenge", "What to sign for a login by a key pair", "Challenge")),
        },
        "/v1/me": { "get": operation("me", "Who the token is for", "Me") },
        "/v1/directory": {
            "get": asks(operation("directory", "The people whom the user may see", "Directory"), &people),
        },
        "/v1/messages": {
            "get": asks(operation("messages", "A page of history, newest first", "History"), &history),
        },
        "/v1/messages/read": {
            "put": takes(operation("mark_read", "Mark a conversation as read; never moves back", ""), "Marker"),
        },
        "/v1/commands": { "post": ask_command() },
        "/v1/commands/{id}": {
            "get": of_command("find_command", "How a command of one's own stands"),
            "delete": of_command("cancel_command", "Take a command of one's own back that has not been sent"),
        },
        "/v1/token": {
            "post": operation("renew", "A new token, for the user as he is now; live links keep going", "Token"),
            "delete": operation("logout", "Make the token and its renewals invalid; links that use them end", ""),
        },
        "/v1/openapi.json": { "get": open(operation("openapi", "This description", "Any")) },
    })
}

fn ask_command() -> Value {
    let summary = "Have a terminal do something; asked again with the same key it is the same command";
    let mut ask = takes(operation("ask_command", summary, "Command"), "NewCommand");
    let key = json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "schema": { "type": "string", "maxLength": 64 }, "description": "In place of the member `key`",
    });
    with(&mut ask, "parameters", json!([key]));
    let done = json!({ "description": "Saved", "content": json_of("Command") });
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    with(&mut ask, "responses", json!({ "202": done, "default": problem }));
    ask
}

fn of_command(name: &str, summary: &str) -> Value {
    let mut of = operation(name, summary, "Command");
    let id = json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
    with(&mut of, "parameters", json!([id]));
    of
}

/// An object whose fields are all there, unless listed in `optional`.
fn object(fields: Value, optional: &[&str]) -> Value {
    let names = fields.as_object().map(|f| f.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let required: Vec<&String> = names.iter().filter(|name| !optional.contains(&name.as_str())).collect();
    json!({ "type": "object", "properties": fields, "required": required })
}

/// Either a password, or a challenge and its signature.
fn login(id: &Value) -> Value {
    let signature =
        "Ed25519, of the message in docs/protocol/sign-in.md: 64 bytes, base64url without padding";
    let mut login = object(
        json!({
            "user": id,
            "client_id": id,
            "password": { "type": "string", "maxLength": 1024 },
            "challenge": { "type": "string", "description": "As /v1/login/challenge gave it; good once" },
            "signature": { "type": "string", "description": signature },
        }),
        &["password", "challenge", "signature"],
    );
    let by_password = json!({ "required": ["password"] });
    with(&mut login, "oneOf", json!([by_password, { "required": ["challenge", "signature"] }]));
    login
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let id = json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" });
    let number = json!({ "type": "integer", "minimum": 0 });
    let time = json!({ "type": "integer", "description": "Milliseconds since 1970" });
    let list = |of: Value| json!({ "type": "array", "items": of });
    let relation = json!({
        "type": "string",
        "enum": ["same", "internal", "upstream", "downstream", "member", "unrelated"],
    });
    let conversation = json!({
        "type": "object",
        "properties": {
            "kind": { "type": "string", "enum": ["with", "group", "notifications"] },
            "name": { "type": "string", "description": "User id or group; left out for notifications" },
        },
        "required": ["kind"],
    });
    let broker = object(
        json!({
            "listener": { "type": "string", "enum": ["tcp", "tls", "ws", "wss"] },
            "transport": { "type": "string", "enum": ["plain", "tls"] },
            "host": text,
            "port": number,
        }),
        &[],
    );
    let token = object(
        json!({
            "id": { "type": "string", "description": "User name of the MQTT sign-in" },
            "key": { "type": "string", "description": "Proof key: 32 bytes, base64url without padding" },
            "bearer": { "type": "string", "description": "Password of the MQTT sign-in, on TLS only" },
            "counter": { "type": "integer", "description": "The next proof's counter must be greater" },
            "expires_at": time,
        }),
        &[],
    );
    let profile = object(
        json!({
            "user": id, "name": text, "org": text, "department": text, "title": text, "groups": list(text.clone()),
        }),
        &[],
    );
    let person = object(
        json!({
            "user": id, "name": text, "org": text, "department": text, "title": text, "relation": relation,
        }),
        &[],
    );
    let next =
        json!({ "type": ["string", "null"], "description": "The next page's `after`; null at the end" });
    let directory = object(json!({ "entries": list(schema("Person")), "next_after": next }), &[]);
    let class = json!({ "type": "string", "pattern": "^[a-z0-9-]{1,32}$" });
    let new_command = object(
        json!({
            "terminal": id,
            "class": class,
            "body": { "type": "string", "description": "What to do; or body_base64 where it is no text" },
            "body_base64": text,
            "follow_ups": list(class.clone()),
            "expires_in_secs": { "type": "integer", "minimum": 1, "maximum": 604_800, "default": 300 },
            "key": { "type": "string", "maxLength": 64 },
        }),
        &["body", "body_base64", "follow_ups", "expires_in_secs", "key"],
    );
    let command = object(
        json!({
            "id": { "type": "string", "pattern": "^[0-9a-f]{32}$" },
            "terminal": id, "requester": id, "key": text, "class": class,
            "state": {
                "type": "string",
                "enum": ["accepted", "waiting", "sent", "acknowledged", "done", "failed", "unknown", "expired", "cancelled"],
            },
            "needs_tls": { "type": "boolean" },
            "result": text, "result_base64": text,
            "created_at": time, "expires_at": time, "updated_at": time,
        }),
        &["result", "result_base64"],
    );
    let instruction_key = object(json!({ "id": text, "public_key": text }), &[]);
    let issued = json!({
        "server_time": time, "token": token, "brokers": list(broker), "instruction_keys": list(instruction_key),
    });
    let mut logged_in = json!({ "user": id, "profile": schema("Profile"), "directory": schema("Directory") });
    for (key, value) in issued.as_object().into_iter().flatten() {
        with(&mut logged_in, key, value.clone());
    }
    let message = object(
        json!({
            "seq": { "type": "integer", "description": "Per recipient, without gaps" },
            "id": { "type": "string", "description": "The sender's message id" },
            "class": { "type": "string", "enum": ["notification", "instant"] },
            "from": id,
            "device": text,
            "topic": text,
            "body": { "type": "string", "description": "When it is UTF-8" },
            "body_base64": { "type": "string", "description": "When it is not" },
            "sent_at": time,
        }),
        &["body", "body_base64"],
    );
    let history = json!({
        "messages": list(schema("Message")),
        "next_before": { "type": ["integer", "null"], "description": "The next page's `before`; null at the end" },
        "markers": list(schema("Marker")),
    });
    let me = json!({
        "user": id,
        "profile": schema("Profile"),
        "client_id": text,
        "token_id": text,
        "expires_at": { "type": ["integer", "null"], "description": "Milliseconds since 1970" },
        "server_time": time,
    });
    let problem = json!({
        "type": { "type": "string", "description": "Stable: `urn:postern:problem:` and the kind" },
        "title": text,
        "status": number,
        "detail": text,
        "retry_after_secs": number,
        "request_id": text,
    });
    json!({
        "Any": { "type": "object" },
        "Login": login(&id),
        "Challenge": object(json!({ "challenge": text, "expires_at": time }), &[]),
        "LoggedIn": object(logged_in, &[]),
        "Token": object(issued, &[]),
        "Profile": profile,
        "Person": person,
        "Directory": directory,
        "Me": object(me, &[]),
        "Message": message,
        "Marker": object(json!({ "conversation": conversation, "seq": number }), &[]),
        "History": object(history, &[]),
        "NewCommand": new_command,
        "Command": command,
        "Problem": object(problem, &["detail", "retry_after_secs", "request_id"]),
    })
}
