//! The table of the box's settings.

use message::Limits;
use wit::setting::{Setting, Value};

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting::new("ports", Value::Some("port"), "Where to listen. An arrow to `net` has to grant each of them.")
        .default("[80]"),
    Setting::new("backlog", Value::Number(1, 65_535), "Connections that may wait to be accepted, per port.").default("128"),
    Setting::new(
        "connections",
        Value::Number(1, 2048),
        "Connections served at once, or fewer if the box's memory has no room for so many.",
    )
    .default("800"),
    Setting::new(
        "client-connections",
        Value::Number(1, 2048),
        "Connections of one client, which is an IPv4 address or a /64 of IPv6. Without it: half of all, but 32 at least.",
    )
    .example("100"),
    Setting::new("pipeline", Value::Number(1, 16), "Requests of one connection of HTTP/1.1 that handlers have at once.")
        .default("16"),
    Setting::new(
        "streams",
        Value::Number(1, 1_000),
        "Requests of one connection of HTTP/2 at once, or fewer if the box's memory has no room for so many. With TLS, clients use \
         HTTP/2 where `protocols` of the box `tls` has `h2`.",
    )
    .default("100"),
    Setting::new(
        "headers",
        Value::Number(1, Limits::MOST_FIELDS as u64),
        "Lines of a request's head, and of its trailers.",
    )
    .default("100"),
    Setting::new("header-bytes", Value::Size(256, 60 << 10), "Size of a request's head, and of its trailers.")
        .default("\"16 KiB\""),
    Setting::new("target-bytes", Value::Size(64, 60 << 10), "Length of a request's target.").default("\"8 KiB\""),
    Setting::new("body-bytes", Value::Size(0, u64::MAX), "Size of a request's body.").default("\"64 MiB\""),
    Setting::new(
        "held-bytes",
        Value::Size(1 << 20, 1 << 31),
        "Data of all connections that may wait for a slow client or handler. Without it: what the box's memory has room for.",
    )
    .example("\"8 MiB\""),
    Setting::new("header-timeout", Value::Time, "From the first byte of a head to its end.").default("\"10 s\""),
    Setting::new("body-timeout", Value::Time, "For each 16 KiB of a request's body. So it is the least rate too.")
        .default("\"30 s\""),
    Setting::new(
        "request-timeout",
        Value::Time,
        "From the end of a head to the end of the body, however fast it comes.",
    )
    .default("\"1 h\""),
    Setting::new("idle-timeout", Value::Time, "Before the first request of a connection, and between two.")
        .default("\"60 s\""),
    Setting::new("write-timeout", Value::Time, "In which the client takes 16 KiB of the response.").default("\"30 s\""),
    Setting::new("handler-timeout", Value::Time, "During which the handler makes no progress.").default("\"30 s\""),
    Setting::new("upgrade-timeout", Value::Time, "During which neither side sends anything, after an answer 101.")
        .default("\"10 min\""),
    Setting::new("server", Value::Text("header value"), "The value of the header `Server`; empty for none. A handler's own `Server` and `Date` go to the client in place of the node's.")
        .default("\"Pearwood\""),
    Setting::new(
        "compress",
        Value::OneOf(&["none", "public", "all"]),
        "Which answers are compressed (gzip) for clients that take it, if they are text of 1 KiB at least that is not compressed yet: \
         `public` is those to requests without `Cookie` and `Authorization` from clients without a certificate. Who reads along sees how long an answer is: with `all`, \
         somebody who can also have a text of his choice put into answers can find out a secret that is in them (BREACH). An answer with \
         `Cache-Control: no-transform`, or with `Accept-Encoding` in its `Vary`, is sent as the handler gives it, and so are all while \
         there is no memory for it.",
    )
    .default("\"public\""),
    Setting::new(
        "trusted-proxies",
        Value::Some("IP address or network"),
        "Proxies that say where requests come from. What they say is the client's address for rules, limits, handlers and the access log, \
         and the scheme for rules and handlers. What anybody else says of it reaches nobody.",
    )
    .example("[\"10.0.0.0/8\", \"2001:db8::1\"]"),
    Setting::new(
        "proxy-header",
        Value::OneOf(&["x-forwarded-for", "forwarded"]),
        "The header in which they say it: `X-Forwarded-For` with `X-Forwarded-Proto`, or `Forwarded` (RFC 7239). They have to write it \
         themselves, or add to it; others that a client has sent count for nothing.",
    )
    .default("\"x-forwarded-for\""),
    Setting::new(
        "proxy-protocol-from",
        Value::Some("IP address or network"),
        "Whose connections begin with a header of the PROXY protocol, version 1 or 2, that says where the client connects from. Others \
         have none. With TLS, it is `proxy-protocol-from` of the box `tls` that counts.",
    )
    .example("[\"192.0.2.1\"]"),
    Setting::new(
        "access-log",
        Value::OneOf(&["false", "true", "common", "combined", "vhost-combined"]),
        "A line in the log for each request: `common` is the Common Log Format; `combined`, or `true`, has the referrer and \
         the agent at the end as well; `vhost-combined` also the host at the start.",
    )
    .default("false"),
    Setting::new(
        "rules",
        Value::Tables,
        "What is answered in place of handlers. Rules are tried in the order of the file, and of each property the first \
         rule counts that fits and has it.",
    )
    .example(
        r#"[
    { host = "www.example.org", redirect = "https://example.org/*" },
    { host = "old.example.org", scheme = "http", redirect = "https://example.org/*" },
    { path = "/old/*", redirect = "/new/*", status = 308 },
    { path = "/admin/*", allow = ["192.0.2.0/24", "2001:db8::/32"] },
    { path = "/private/*", users.anna = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie", realm = "The family" },
    { path = "/search", rate = "10/s", burst = 50 },
    { path = "/assets/*", compress = "all" },
    { scheme = "https", headers.strict-transport-security = "max-age=63072000" },
]"#,
    ),
    Setting::new("rules.host", Value::Text("pattern"), "Which hosts the rule is for, with one `*` at most. Without it: all."),
    Setting::new(
        "rules.path",
        Value::Text("pattern"),
        "Which paths the rule is for, with one `*` at most. It begins with `/` or `*`. `/a/*` is for `/a` too, and `/a` for that \
         alone: not for `/a/`, nor what is below. Without it: all.",
    ),
    Setting::new(
        "rules.scheme",
        Value::OneOf(&["http", "https"]),
        "Which requests the rule is for: those that came without TLS, or with it. Without it: all.",
    ),
    Setting::new(
        "rules.redirect",
        Value::Text("path or URL"),
        "Where to, with what the `*` of the rule's path stands for in place of a `*`.",
    ),
    Setting::new(
        "rules.status",
        Value::OneOf(&["301", "302", "303", "307", "308"]),
        "The status of the redirect. Without it: 301.",
    ),
    Setting::new("rules.allow", Value::Some("IP address or network"), "Clients that may; all others may not."),
    Setting::new(
        "rules.users",
        Value::Names("password hashed with bcrypt"),
        "Who may with their password. `pearwood hash-password` hashes one; its cost is 10 at most.",
    ),
    Setting::new("rules.realm", Value::Text("header value"), "What users are asked for. Without it: `Restricted`."),
    Setting::new("rules.rate", Value::Text("number/time"), "Requests of one client in some time: `10/s`, `100/5 min`."),
    Setting::new(
        "rules.compress",
        Value::OneOf(&["none", "public", "all"]),
        "`compress` for these requests.",
    ),
    Setting::new(
        "rules.headers",
        Value::Names("header value"),
        "Headers on answers, whoever gives them, in place of others with these names. Of several rules that fit and have the \
         same header, the first counts.",
    ),
    Setting::new(
        "rules.burst",
        Value::Number(1, 1 << 20),
        "Requests of one client that may come at once. Without it: as many as the rate.",
    ),
];
