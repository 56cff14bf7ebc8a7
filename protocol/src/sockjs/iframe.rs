//! The page that a client loads into a hidden frame, to be of the server's own origin there.
//!
//! In: where the client's script is. Out: HTML.

/// The page that loads the client from `script_url` and starts it (SockJS protocol 0.3.3, `IframePage`).
pub fn page(script_url: &str) -> String {
    let script_url = script_url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    format!(
        r#"<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="{script_url}"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_as_long_as_the_original() {
        assert_eq!(page("https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js").len(), 472);
    }

    #[test]
    fn an_address_stays_within_its_attribute() {
        let page = page("/a.js?b=\"><script>&c");
        assert!(page.contains("<script src=\"/a.js?b=&quot;>&lt;script>&amp;c\"></script>"), "{page}");
    }
}
