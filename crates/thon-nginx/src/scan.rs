//! Reading what others wrote into the system's nginx configuration, as far as we must know it.
//!
//! For: finding a few directives in text. Not for: understanding nginx's language; `nginx -t` does.

/// The directives of a configuration in order, without comments, each with single spaces; a block
/// stands for its head (`location /`).
fn directives(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    let mut quote = None;
    let mut comment = false;
    for character in text.chars() {
        match (quote, character) {
            _ if comment => comment = character != '\n',
            (Some(open), _) => {
                current.push(character);
                if character == open {
                    quote = None;
                }
            }
            (None, '"' | '\'') => {
                quote = Some(character);
                current.push(character);
            }
            // Inside a word it is an ordinary character.
            (None, '#') if current.is_empty() || current.ends_with(char::is_whitespace) => {
                comment = true;
            }
            (None, ';' | '{' | '}') => {
                found.push(current.split_whitespace().collect::<Vec<_>>().join(" "));
                current.clear();
            }
            (None, _) => current.push(character),
        }
    }
    found.retain(|directive| !directive.is_empty());
    found
}

/// The first argument of the first directive `name`, without quotes.
pub(crate) fn argument(text: &str, name: &str) -> Option<String> {
    directives(text).iter().find_map(|directive| {
        let (head, rest) = directive.split_once(' ')?;
        let first = rest.split(' ').next()?;
        (head == name).then(|| first.trim_matches(['"', '\'']).to_owned())
    })
}

/// True if some `include` names a path that holds `part`.
pub(crate) fn includes(text: &str, part: &str) -> bool {
    directives(text)
        .iter()
        .any(|directive| directive.strip_prefix("include ").is_some_and(|path| path.contains(part)))
}

/// The ports on which the text claims the requests for unknown names.
pub(crate) fn default_ports(text: &str) -> Vec<u16> {
    directives(text).iter().filter_map(|directive| default_port(directive)).collect()
}

fn default_port(directive: &str) -> Option<u16> {
    let mut words = directive.strip_prefix("listen ")?.split(' ');
    let address = words.next()?;
    // `default` is the word's form before nginx 0.8.21, still accepted.
    if !words.any(|word| word == "default_server" || word == "default") {
        return None;
    }
    let port = match address.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port,
        Some(_) => return Some(80),
        None => address,
    };
    // An address without a port listens on 80.
    Some(port.parse().unwrap_or(80))
}

/// True of the site that Debian and Ubuntu install as `default`, on whatever ports: a welcome page
/// that nobody misses. A site that an administrator made of it is another matter.
pub(crate) fn is_distribution_default(text: &str) -> bool {
    let mut directives = directives(text);
    directives.retain(|directive| !directive.starts_with("listen "));
    directives
        == [
            "server",
            "root /var/www/html",
            "index index.html index.htm index.nginx-debian.html",
            "server_name _",
            "location /",
            "try_files $uri $uri/ =404",
        ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = "# Default; configuration {\nserver {\n\tlisten 80 default_server;\n\t\
        listen [::]:80 default_server;\n\n\t# listen 443 ssl default_server;\n\troot /var/www/html;\n\
        \tindex index.html index.htm index.nginx-debian.html;\n\n\tserver_name _;\n\n\tlocation / {\n\
        \t\ttry_files $uri $uri/ =404;\n\t}\n}\n";

    #[test]
    fn the_distributions_site_is_told_from_one_that_was_edited() {
        assert!(is_distribution_default(DEFAULT));
        assert!(!is_distribution_default(&DEFAULT.replace("/var/www/html", "/srv/shop")));
        assert!(!is_distribution_default(&format!("{DEFAULT}server {{ listen 81; }}")));
    }

    #[test]
    fn ports_of_default_servers_are_found_and_comments_are_not() {
        assert_eq!(default_ports(DEFAULT), [80, 80]);
        let text = "listen 127.0.0.1:8443 ssl default_server; listen [::1] default; listen 9;";
        assert_eq!(default_ports(text), [8443, 80]);
    }

    #[test]
    fn a_directive_is_found_behind_comments_and_quotes() {
        let text = "# pid /no;\nuser www-data;\npid \"/run/my nginx.pid\";\ninclude /etc/x/*.conf;";
        assert_eq!(argument(text, "user").as_deref(), Some("www-data"));
        assert_eq!(argument("pid /run/nginx.pid;", "pid").as_deref(), Some("/run/nginx.pid"));
        assert_eq!(argument("#pid /run/nginx.pid;", "pid"), None);
        assert!(includes(text, "/x/"));
        assert!(!includes(text, "sites-enabled"));
    }
}
