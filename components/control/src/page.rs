//! The web console: one page with all that it needs, so that nothing is asked of anybody else.

/// HTML. It asks for `me`, `describe`, `history` and `follow` beside it, and orders `restart` and so on.
pub const PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<meta name=\"referrer\" content=\"no-referrer\">\n<link rel=\"icon\" href=\"data:,\">\n<title>Pearwood</title>\n<style>\n",
    include_str!("page/style.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script>\n\"use strict\";\n(() => {\n",
    include_str!("page/words.js"),
    include_str!("page/node.js"),
    include_str!("page/layout.js"),
    include_str!("page/graph.js"),
    include_str!("page/boxes.js"),
    include_str!("page/web.js"),
    include_str!("page/arrows.js"),
    include_str!("page/volumes.js"),
    include_str!("page/logs.js"),
    include_str!("page/deploys.js"),
    include_str!("page/main.js"),
    "})();\n</script>\n</html>\n"
);

#[cfg(test)]
mod tests {
    use super::PAGE;

    #[test]
    fn nothing_is_asked_of_others() {
        let known = "http://www.w3.org/2000/svg";
        assert!(!PAGE.contains("https:") && !PAGE.replace(known, "").contains("http:"));
        assert!(!PAGE.contains("@import") && !PAGE.contains("src=") && !PAGE.contains("innerHTML"));
    }

    #[test]
    fn what_scripts_look_for_is_there() {
        let sought = PAGE.split("$(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let lacking: Vec<_> = sought.filter(|id| !PAGE.contains(&format!(" id=\"{id}\""))).collect();
        assert!(lacking.is_empty(), "{lacking:?}");
    }
}
