#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// Files in a folder of their own, and variables.
struct Given {
    folder: TempDir,
    variables: HashMap<String, String>,
}

impl Given {
    fn new(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        Self { folder, variables: variables.iter().map(own).collect() }
    }

    fn load(&self, names: &[&str]) -> Loaded {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.folder.path().join(name)).collect();
        load(&paths, |name| self.variables.get(name).cloned())
    }

    fn settings(&self, names: &[&str]) -> Settings {
        let loaded = self.load(names);
        let mistakes = &loaded.mistakes;
        loaded.settings.unwrap_or_else(|| panic!("{mistakes:?}"))
    }

    /// The line of each mistake, and its words.
    fn mistakes(&self, name: &str) -> Vec<(usize, String)> {
        let loaded = self.load(&[name]);
        let severe = loaded.mistakes.iter().any(|mistake| mistake.severe);
        assert_eq!(loaded.settings.is_none(), severe);
        loaded.mistakes.into_iter().map(|mistake| (mistake.line, mistake.to_string())).collect()
    }
}

const SITES: &str = "newsite:
  authUrl: http://newsite.com/socketrooms
  authScheme: Bearer
  apiKey: 54321
  userRoomPrefix: user_
  updateUserUrl: http://newsite.com/users/:id
";

const CONFIG: &str = "development:

production:
  port: 80
  device_ttl: 3600
  redis:
    url: rediss://:<password>@<host>:<port>/<database>
  flakeid:
    datacenter: 0
    worker: 0
  io:
    pingTimeout: 60000
  winston:
    file:
      level: info
      maxsize: 5242880 #5MB
  servers:
    - deployer@server1.example.com
";

#[test]
fn the_originals_files_are_read_as_they_are() {
    let given = Given::new(&[("config.yml", CONFIG), ("sites.yml", SITES)], &[]);
    for names in [&["config.yml"][..], &["config.yml", "sites.yml"], &["."]] {
        let settings = given.settings(names);
        assert_eq!(settings.listen.unwrap().port(), 80);
        assert_eq!(settings.ping_timeout, Duration::from_mins(1));
        let [site] = &*settings.sites else { panic!("{settings:?}") };
        assert_eq!(site.name, "newsite");
        assert!(site.api_keys[0].is("54321"));
        assert_eq!(site.auth.as_ref().unwrap().url, "http://newsite.com/socketrooms");
        assert_eq!(site.user_room_prefix.as_deref(), Some("user_"));
        assert_eq!(site.update_user_url.as_deref(), Some("http://newsite.com/users/:id"));
        assert_eq!(site.device_ttl, Duration::from_hours(1));
    }
    let loaded = given.load(&["."]);
    assert_eq!(loaded.files.len(), 2);
    assert!(loaded.mistakes.iter().all(|mistake| !mistake.severe), "{:?}", loaded.mistakes);
}

#[test]
fn the_originals_variables_are_read_as_they_are() {
    let given = Given::new(
        &[],
        &[
            ("NODE_ENV", "production"),
            ("REDIS_URL", "rediss://:password@host:6380/0"),
            ("DEVICE_TTL", "60"),
            ("PORT", "8080"),
            ("SITE_NAME", "goodcity"),
            ("AUTH_URL", "https://api.test/api/v1/auth/current_user_rooms"),
            ("AUTH_SCHEME", "Token"),
            ("API_KEY", "secret"),
            ("USER_ROOM_PREFIX", "user_"),
            ("UPDATE_USER_URL", "https://api.test/api/v1/users/:id"),
            ("PUBLIC_CHANNEL", "browse"),
        ],
    );
    let settings = given.settings(&[]);
    assert_eq!(settings.listen.unwrap().to_string(), "[::]:8080");
    #[cfg(feature = "redis")]
    assert_eq!(settings.broker.as_ref().unwrap().url.expose(), "rediss://:password@host:6380/0");
    let [site] = &*settings.sites else { panic!("{settings:?}") };
    assert_eq!((&*site.name, site.public_channel.as_deref()), ("goodcity", Some("browse")));
    assert_eq!(site.auth.as_ref().unwrap().scheme, "Token");
    assert_eq!(site.device_ttl, Duration::from_mins(1));
    assert!(site.api_keys[0].is("secret") && !site.api_keys[0].is("secre"));
}

#[test]
fn one_file_may_have_it_all_in_either_language() {
    let yaml = "listen: 127.0.0.1:1338\ndevice_ttl: 5s\nsites:\n  a:\n    apiKey: [one, 2]\n    open: true\n  b:\n    apiKey: three\n    jwtSecret: four\n";
    let toml = "listen = \"127.0.0.1:1338\"\ndevice_ttl = 5\n[sites.a]\napi_key = [\"one\", 2]\nopen = true\n[sites.b]\napi-key = \"three\"\njwtSecret = \"four\"\n";
    let given = Given::new(&[("tokensocket.yml", yaml), ("tokensocket.toml", toml)], &[]);
    let settings = given.settings(&["tokensocket.yml"]);
    assert_eq!(settings, given.settings(&["tokensocket.toml"]));
    assert_eq!(settings.sites.len(), 2);
    assert_eq!(settings.sites[0].device_ttl, Duration::from_secs(5));
    assert!(settings.sites[0].api_keys[1].is("2"));
}

#[test]
fn the_environment_comes_before_files() {
    let given = Given::new(
        &[("config.yml", CONFIG), ("sites.yml", SITES)],
        &[("PORT", "90"), ("SITE_NAME", "newsite"), ("API_KEY", "other")],
    );
    let settings = given.settings(&["config.yml"]);
    assert_eq!(settings.listen.unwrap().port(), 90);
    assert!(settings.sites[0].api_keys[0].is("other"));
    assert!(settings.sites[0].auth.is_some());
}

#[test]
fn another_environment_is_another_section() {
    let config = "production:\n  port: 80\nstaging:\n  port: 81\n";
    let given = Given::new(&[("config.yml", config), ("sites.yml", SITES)], &[("NODE_ENV", "staging")]);
    assert_eq!(given.settings(&["config.yml"]).listen.unwrap().port(), 81);
    let given = Given::new(&[("config.yml", config), ("sites.yml", SITES)], &[("NODE_ENV", "live")]);
    let loaded = given.load(&["config.yml"]);
    assert!(loaded.mistakes[0].to_string().contains("one of production, staging"), "{:?}", loaded.mistakes);
}

#[test]
fn every_mistake_has_its_line_and_what_to_write_instead() {
    for (text, line, words) in [
        ("newsite:\n  authURI: http://a/b\n  apiKey: x\n", 2, "did you mean `authUrl`?"),
        (
            "newsite:\n  apiKey: x\n  authUrl: newsite.com/rooms\n",
            3,
            "did you mean http://newsite.com/rooms?",
        ),
        ("newsite:\n  authUrl: https://<path to api>/x\n  apiKey: x\n", 2, "placeholder"),
        ("newsite:\n  authUrl: http://a/b\n", 1, "no `apiKey`"),
        ("newsite:\n  authUrl: http://a/b\n  apiKey:\n", 3, "no `apiKey`"),
        ("\nsocket.io:\n  authUrl: http://a/b\n  apiKey: x\n", 2, "socket.io-site"),
        ("\nnew site:\n  authUrl: http://a/b\n  apiKey: x\n", 2, "`new-site`"),
        (
            "newsite:\n  authUrl: http://a/b\n  apiKey: x\n  updateUserUrl: http://a/users\n  userRoomPrefix: u_\n",
            4,
            "no `:id`",
        ),
        ("newsite:\n  authUrl: http://a/b\n  apiKey: x\n  authTimeout: soon\n", 4, "such as 250ms"),
        ("newsite:\n  authUrl: http://a/b\n  apiKey: x\n  authConcurrency: 0\n", 4, "from 1 to"),
        ("newsite:\n  apiKey: x\n  jwtSecret: a\n  jwksUrl: http://a/b\n", 4, "keep one of"),
        ("newsite:\n  apiKey: x\n  jwtPublicKey: abc\n", 3, "BEGIN PUBLIC KEY"),
        ("newsite:\n  apiKey: x\n  jwksUrl: http://a/b\n  jwtAlgorithms: [HS256]\n", 4, "RS256 or ES256"),
        (
            "newsite:\n  apiKey: x\n  jwtPublicKey: |\n    -----BEGIN PUBLIC KEY-----\n    MAo=\n    -----END PUBLIC KEY-----\n",
            4,
            "not a public key",
        ),
        ("newsite:\n  apiKey: x\n  maxConnections: 0\n", 3, "from 1 on"),
        ("newsite:\n  apiKey: x\n  allowOrigins: [www.example.com]\n", 3, "write `https://www.example.com`"),
        ("newsite:\n  apiKey: x\n  allowOrigins: https://a.test/page\n", 3, "write `https://a.test`"),
        (
            "newsite:\n  apiKey: x\n  allowOrigins: ['https://b.test', 'HTTPS://A.test']\n",
            3,
            "write `https://a.test`",
        ),
        ("newsite:\n  apiKey: x\n  allowOrigins: ['https://a.test:443']\n", 3, "write `https://a.test`"),
        ("newsite:\n  apiKey: x\n  allowOrigins: ['*']\n", 3, "leave `allowOrigins` out"),
        ("newsite:\n  apiKey: x\n  allowOrigins: ['https://*.a.test']\n", 3, "name each"),
        ("newsite:\n  apiKey: x\n  eventsPath: live\n", 3, "write it as /live"),
        ("newsite:\n  apiKey: x\n  eventsPath: /sockets/x\n", 3, "eventsPath: /live"),
        ("newsite:\n  apiKey: x\n  passthroughUrl: a.test/events\n", 3, "did you mean http://a.test/events?"),
        ("newsite:\n  apiKey: x\n  events: sometimes\n", 3, "passthrough"),
        ("newsite: 5\n", 1, "where settings are expected"),
        ("newsite:\n  apiKey: x\n  apiKey: y\n", 3, "apiKey"),
        ("newsite:\n\tapiKey: x\n", 2, "no tabs"),
        ("newsite:\n  authUrl: http://a/b\n  apiKey: 54321\n\tapiKey: 1\n", 4, "no tabs"),
        ("newsite:\n  apiKey: [x\n", 2, "not YAML"),
        ("- a\n", 1, "a list"),
    ] {
        let mistakes = Given::new(&[("sites.yml", text)], &[]).mistakes("sites.yml");
        let told = mistakes.iter().any(|(at, told)| *at == line && told.contains(words));
        assert!(told, "{text}{mistakes:#?}");
        assert!(mistakes.iter().all(|(_, told)| told.contains('\n')), "{mistakes:?}");
    }
}

#[test]
fn origins_are_taken_as_browsers_name_them() {
    let origins =
        "['https://a.test', 'http://localhost:3000/', 'http://[::1]:80', 'capacitor://localhost', 'null']";
    let text = format!(
        "newsite:\n  authUrl: http://a/b\n  apiKey: x\n  allowOrigins: {}\n",
        origins.replace(":80'", ":81'")
    );
    let settings = Given::new(&[("sites.yml", &text)], &[]).settings(&["sites.yml"]);
    let expected =
        ["https://a.test", "http://localhost:3000", "http://[::1]:81", "capacitor://localhost", "null"];
    assert_eq!(settings.sites[0].allow_origins, expected);
}

#[test]
fn no_mistake_hides_another() {
    let text = "listen: 1.2.3\ndevicettl: soon\nprot: 80\nsites:\n  a:\n    apikey: x\n    authUrl: a\n    foo: 1\n  b:\n    apiKey: y\n    open: perhaps\n";
    let mistakes = Given::new(&[("tokensocket.yml", text)], &[]).mistakes("tokensocket.yml");
    let mut lines: Vec<usize> = mistakes.iter().map(|(line, _)| *line).collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines, [1, 2, 3, 7, 8, 11], "{mistakes:#?}");
}

#[test]
fn a_configuration_without_a_site_says_what_to_do() {
    for (files, words) in
        [(&[("tokensocket.yml", "listen: 1337\n")][..], "sites:"), (&[("tokensocket.yml", "")], "sites:")]
    {
        let mistakes = Given::new(files, &[]).mistakes("tokensocket.yml");
        assert!(mistakes.iter().any(|(_, told)| told.contains(words)), "{mistakes:?}");
    }
    let none = Given::new(&[], &[]);
    let unread = none.load(&["nothing.yml"]).mistakes;
    let [unread] = &*unread else { panic!("one") };
    assert!(unread.to_string().contains("cannot be read"), "{unread}");
    assert!(none.load(&["."]).mistakes[0].to_string().contains("tokensocket init"));
    assert!(none.load(&[]).mistakes[0].to_string().contains("SITE_NAME"));
}

#[test]
fn the_same_site_twice_is_a_mistake() {
    let given = Given::new(&[("a.yml", SITES), ("b.yml", SITES)], &[]);
    let loaded = given.load(&["a.yml", "b.yml"]);
    assert!(loaded.mistakes[0].message.contains("a.yml, line 1"), "{:?}", loaded.mistakes);
}

#[test]
fn secrets_are_never_shown() {
    let shown = format!("{:?}", Given::new(&[("sites.yml", SITES)], &[]).settings(&["sites.yml"]));
    assert!(!shown.contains("54321"), "{shown}");
}

#[cfg(all(feature = "nats", feature = "redis"))]
mod broker {
    use tokensocket_server::Outage;

    use super::*;

    const SITE: &str = "sites:\n  a:\n    apiKey: x\n    open: true\n";

    fn settings(text: &str, variables: &[(&str, &str)]) -> Settings {
        Given::new(&[("tokensocket.yml", &format!("{text}{SITE}"))], variables).settings(&["tokensocket.yml"])
    }

    fn url(text: &str, variables: &[(&str, &str)]) -> Option<String> {
        settings(text, variables).broker.map(|broker| broker.url.expose().to_owned())
    }

    #[test]
    fn an_engine_is_an_address_or_a_section() {
        assert_eq!(settings("", &[]).broker, None);
        let short = settings("broker: redis://h:6379\n", &[]).broker.unwrap();
        assert_eq!(short, settings("broker:\n  url: redis://h:6379\n", &[]).broker.unwrap());
        let long = "broker:\n  url: nats://h\n  prefix: push\n  outage: buffer\n  bufferMessages: 5\n  bufferBytes: 100\n  replicas: 3\n  lease: 10s\n  credentialsFile: /a.creds\n";
        let long = settings(long, &[]).broker.unwrap();
        assert_eq!((&*long.prefix, long.replicas, long.lease), ("push", 3, Duration::from_secs(10)));
        assert_eq!(long.outage, Outage::Buffer { messages: 5, bytes: 100 });
        let tls = "broker:\n  url: tls://h\n  clientCertificate: /a.crt\n  clientKey: /a.key\n  historyStreams: 4\n  maxHistoryBytes: 1073741824\n";
        let tls = settings(tls, &[]).broker.unwrap();
        assert_eq!(tls.client_certificate, Some(("/a.crt".into(), "/a.key".into())));
        assert_eq!((tls.history_streams, tls.max_history_bytes), (4, Some(1 << 30)));
        let sentinels = "broker:\n  url: redis+sentinel://h/main\n  sentinelUser: watcher\n";
        for (more, variables) in
            [("  sentinelPassword: 54321\n", &[][..]), ("", &[("BROKER_SENTINEL_PASSWORD", "54321")])]
        {
            let broker = settings(&format!("{sentinels}{more}"), variables).broker.unwrap();
            assert!(!format!("{broker:?}").contains("54321"));
            let (user, password) = broker.sentinel;
            assert!(user.as_deref() == Some("watcher") && password.unwrap().is("54321"));
        }
        let toml = "[broker]\nurl = \"redis://h:6379\"\n[sites.a]\napiKey = \"x\"\nopen = true\n";
        let toml = Given::new(&[("tokensocket.toml", toml)], &[]).settings(&["tokensocket.toml"]);
        assert_eq!(toml.broker, Some(short));
    }

    #[test]
    fn what_is_ours_comes_before_what_the_original_called_redis() {
        let ours = "broker: redis://file\n";
        let original = "redis:\n  url: redis://original-file\n";
        let all = [("BROKER_URL", "nats://variable"), ("REDIS_URL", "redis://original-variable")];
        assert_eq!(url(&format!("{ours}{original}"), &all).as_deref(), Some("nats://variable"));
        assert_eq!(url(&format!("{ours}{original}"), &all[1..]).as_deref(), Some("redis://file"));
        assert_eq!(url(original, &all[1..]).as_deref(), Some("redis://original-variable"));
        assert_eq!(url(original, &[]).as_deref(), Some("redis://original-file"));
        // What is said beside the address holds, wherever the address stands.
        let options = settings("broker:\n  prefix: mine\n", &all).broker.unwrap();
        assert_eq!((&*options.prefix, options.url.expose()), ("mine", "nats://variable"));
    }

    #[test]
    fn every_mistake_about_an_engine_has_its_line() {
        for (text, line, words) in [
            ("broker: localhost:6379\n", 1, "redis://host:6379"),
            ("broker: amqp://h\n", 1, "no engine that is known"),
            ("broker:\n  url: redis://h:x\n", 2, "a port that is none"),
            ("broker:\n  prefix: a\n", 2, "does not say where it is"),
            ("broker:\n  url: redis://h\n  prefix: a:b\n", 3, "letters, digits"),
            ("broker:\n  url: redis://h\n  outage: wait\n", 3, "refuse or buffer"),
            ("broker:\n  url: nats://h\n  replicas: 2\n", 3, "1, 3 or 5"),
            ("broker:\n  url: nats://h\n  lease: 1h\n", 3, "from 1s to 1m"),
            ("broker:\n  url: nats://h\n  replica: 3\n", 3, "did you mean `replicas`?"),
            ("broker:\n  url: tls://h\n  clientCertificate: a\n", 3, "add `clientKey:`"),
            ("broker:\n  url: tls://h\n  clientKey: a\n", 3, "add `clientCertificate:`"),
            ("broker:\n  url: nats://h\n  historyStreams: 0\n", 3, "from 1 to 64"),
            ("broker:\n  url: nats://h\n  maxHistoryBytes: 10\n", 3, "1048576 at least"),
            ("broker:\n  url: nats://h\n  maxHistoryBytes: 1 GiB\n", 3, "write digits only"),
            ("broker:\n  url: redis+sentinel://h/a\n  sentinelUser: a\n", 3, "BROKER_SENTINEL_PASSWORD"),
            ("broker:\n  url: redis://h\n  historyStreams: 2\n", 3, "it is a setting of NATS"),
            ("broker:\n  url: redis://h\n  sentinelPassword: a\n", 3, "it is a setting of redis+sentinel://"),
        ] {
            let given = Given::new(&[("tokensocket.yml", &format!("{text}{SITE}"))], &[]);
            let mistakes = given.mistakes("tokensocket.yml");
            let told = mistakes.iter().any(|(at, told)| *at == line && told.contains(words));
            assert!(told, "{text}{mistakes:#?}");
        }
        let given = Given::new(&[("tokensocket.yml", SITE)], &[("REDIS_URL", "localhost:6379")]);
        let mistakes = given.load(&["tokensocket.yml"]).mistakes;
        assert!(mistakes[0].to_string().starts_with("the environment: REDIS_URL: "), "{mistakes:?}");
    }
}
