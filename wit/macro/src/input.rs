//! What stands between the braces of `protocol!`.

use proc_macro::{Delimiter, TokenStream, TokenTree};
use std::iter::Peekable;

#[derive(Default)]
pub struct Input {
    pub paths: Vec<String>,
    pub interface: String,
    /// WIT types, as `package/interface/name`, and the Rust types that stand for them.
    pub types: Vec<(String, String)>,
    pub runtime: String,
}

type Tokens = Peekable<proc_macro::token_stream::IntoIter>;

impl Input {
    pub fn parse(tokens: TokenStream) -> Result<Self, String> {
        let mut input = Input { runtime: "::wit".into(), ..Input::default() };
        let mut tokens = tokens.into_iter().peekable();
        while let Some(key) = tokens.next() {
            let key = key.to_string();
            colon(&key, &mut tokens)?;
            match key.as_str() {
                "path" => input.paths = paths(&mut tokens)?,
                "interface" => input.interface = text(&key, tokens.next())?,
                "types" => input.types = types(tokens.next())?,
                "runtime" => input.runtime = rust(&mut tokens),
                _ => {
                    return Err(format!("protocol!: there is no `{key}`: it takes path, interface, types and runtime"));
                }
            }
            comma(&key, &mut tokens)?;
        }
        if input.paths.is_empty() || input.interface.is_empty() {
            return Err("protocol!: it needs `path: [\"…\"]` and `interface: \"package/interface\"`".into());
        }
        Ok(input)
    }
}

fn paths(tokens: &mut Tokens) -> Result<Vec<String>, String> {
    match tokens.next() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            let mut tokens = group.stream().into_iter().peekable();
            let mut paths = Vec::new();
            while tokens.peek().is_some() {
                paths.push(text("path", tokens.next())?);
                comma("path", &mut tokens)?;
            }
            Ok(paths)
        }
        other => Ok(vec![text("path", other)?]),
    }
}

fn types(group: Option<TokenTree>) -> Result<Vec<(String, String)>, String> {
    let Some(TokenTree::Group(group)) = group else {
        return Err("protocol!: `types` is `{ \"package/interface/type\": RustType }`".into());
    };
    let mut tokens = group.stream().into_iter().peekable();
    let mut types = Vec::new();
    while tokens.peek().is_some() {
        let name = text("types", tokens.next())?;
        colon(&name, &mut tokens)?;
        types.push((name, rust(&mut tokens)));
        comma("types", &mut tokens)?;
    }
    Ok(types)
}

/// A path of Rust, up to the next comma.
fn rust(tokens: &mut Tokens) -> String {
    let mut path = TokenStream::new();
    while let Some(token) = tokens.next_if(|token| !is(token, ',')) {
        path.extend([token]);
    }
    path.to_string()
}

fn text(key: &str, token: Option<TokenTree>) -> Result<String, String> {
    let token = token.map(|token| token.to_string()).unwrap_or_default();
    match token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(text) if !text.contains('\\') => Ok(text.into()),
        _ => Err(format!("protocol!: `{key}` needs a string in plain quotes, not `{token}`")),
    }
}

fn colon(key: &str, tokens: &mut Tokens) -> Result<(), String> {
    match tokens.next() {
        Some(token) if is(&token, ':') => Ok(()),
        _ => Err(format!("protocol!: `{key}` needs a `:` behind it")),
    }
}

fn comma(key: &str, tokens: &mut Tokens) -> Result<(), String> {
    match tokens.next() {
        None => Ok(()),
        Some(token) if is(&token, ',') => Ok(()),
        Some(token) => Err(format!("protocol!: `{key}` needs a `,` behind its value, not `{token}`")),
    }
}

fn is(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}
