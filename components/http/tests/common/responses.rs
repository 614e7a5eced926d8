//! Reads what a client has received, strictly.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body is all there.
    pub whole: bool,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// The responses to requests of the given methods; `Err` says what is wrong with the stream.
pub fn read(mut stream: &[u8], methods: &[&str]) -> Result<Vec<Response>, String> {
    let mut responses = Vec::new();
    while !stream.is_empty() {
        let Some(end) = stream.windows(4).position(|w| w == b"\r\n\r\n") else {
            return Err(format!("a head without an end: {:?}", String::from_utf8_lossy(stream)));
        };
        let head = String::from_utf8_lossy(&stream[..end]).into_owned();
        stream = &stream[end + 4..];
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap();
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse::<u16>().ok().filter(|_| rest.as_bytes().get(3) == Some(&b' ')))
            .ok_or_else(|| format!("a status line {status_line:?}"))?;
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(": ").ok_or_else(|| format!("a line {line:?}"))?;
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_!#$%&'*+.^`|~".contains(&b)) {
                return Err(format!("a name {name:?}"));
            }
            if value.contains(['\r', '\n', '\0']) {
                return Err(format!("a value {value:?}"));
            }
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new(), whole: true };
        if status == 100 {
            continue;
        }
        let method = methods.get(responses.len()).copied().unwrap_or("GET");
        let length = response.header("content-length").map(|value| value.parse::<usize>().unwrap());
        let chunked = response.header("transfer-encoding").is_some();
        if length.is_some() && chunked {
            return Err("both content-length and transfer-encoding".into());
        }
        if method == "HEAD" || status == 204 || status == 304 {
            // no body
        } else if let Some(length) = length {
            response.whole = stream.len() >= length;
            let (body, rest) = stream.split_at(length.min(stream.len()));
            response.body.extend_from_slice(body);
            stream = rest;
        } else if chunked {
            (response.whole, stream) = chunks(stream, &mut response.body)?;
        } else {
            response.body.extend_from_slice(stream);
            stream = &[];
        }
        if !response.whole && !stream.is_empty() {
            return Err("bytes after a part of a response".into());
        }
        responses.push(response);
    }
    Ok(responses)
}

fn chunks<'a>(mut stream: &'a [u8], body: &mut Vec<u8>) -> Result<(bool, &'a [u8]), String> {
    loop {
        let Some(end) = stream.windows(2).position(|w| w == b"\r\n") else { return Ok((false, &[])) };
        let size = std::str::from_utf8(&stream[..end]).map_err(|_| "a chunk size that is no text")?;
        let size = usize::from_str_radix(size, 16).map_err(|_| format!("a chunk size {size:?}"))?;
        stream = &stream[end + 2..];
        if stream.len() < size + 2 {
            body.extend_from_slice(&stream[..size.min(stream.len())]);
            return Ok((false, &[]));
        }
        body.extend_from_slice(&stream[..size]);
        if &stream[size..size + 2] != b"\r\n" {
            return Err("a chunk without an end".into());
        }
        stream = &stream[size + 2..];
        if size == 0 {
            return Ok((true, stream));
        }
    }
}
