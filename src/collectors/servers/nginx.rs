//! `[[collectors.nginx]]`: the page of nginx's module `stub_status`.

use std::time::Duration;

use super::http::{Page, Pages};
use super::items::{self, Item, SERVER, count_families, count_fields, integer};
use super::kind::{self, Kind, LABELS};
use super::outcome::{Found, Row, TARGET};
use super::protocol::stub_status;
use crate::client::settings::HEADERS;
use crate::client::target;
use crate::collectors::framework::About;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::family::{self, FamilyInfo};
use crate::encode::infos::concat;
use crate::encode::point::{FieldInfo, MeasurementInfo};

/// The kind.
pub(super) struct Nginx(Pages);

const URLS: Key<Vec<String>> = Key::optional(
    "urls",
    "The pages of stub_status: URLs such as \"http://localhost/nginx_status\", or Unix sockets such as \"unix:/run/nginx.sock:/nginx_status\".",
);
const OWN_KEYS: &[KeyInfo] = &[URLS.info()];
const ALL_KEYS: [KeyInfo; 1 + kind::KEYS.len() + target::STATUS_KEYS.len()] =
    concat(&[OWN_KEYS, kind::KEYS, &target::STATUS_KEYS]);

/// In the order of [`stub_status::NAMES`].
const ITEMS: &[Item] = &[
    integer("active", "Open client connections, waiting ones included").gauge("nginx_connections_active"),
    integer("accepts", "Client connections accepted").counter("nginx_connections_accepted"),
    integer("handled", "Client connections handled").counter("nginx_connections_handled"),
    integer("requests", "Client requests").counter("nginx_http_requests_total"),
    integer("reading", "Connections whose request header is being read").gauge("nginx_connections_reading"),
    integer("writing", "Connections whose response is being written").gauge("nginx_connections_writing"),
    integer("waiting", "Idle client connections that wait for a request").gauge("nginx_connections_waiting"),
];
static UP: FamilyInfo = UP_INFO;
const UP_INFO: FamilyInfo = FamilyInfo {
    name: "nginx_up",
    kind: family::Kind::Gauge,
    help: "Whether the last query of stub_status succeeded",
    labels: &[SERVER],
};
const OF_ITEMS: [FamilyInfo; count_families(ITEMS)] = items::families_of(ITEMS);
const FAMILIES: [FamilyInfo; OF_ITEMS.len() + 1] = concat(&[&OF_ITEMS, &[UP_INFO]]);
const FIELDS: [FieldInfo; count_fields(ITEMS)] = items::fields_of(ITEMS);

impl Kind for Nginx {
    const ABOUT: About = About {
        name: "nginx",
        summary: "connections and requests of nginx, of its stub_status page",
        keys: &ALL_KEYS,
        tables: &[HEADERS, LABELS],
        families: &FAMILIES,
        measurements: &[MeasurementInfo { name: "nginx", tags: &["port", "server"], fields: &FIELDS }, TARGET],
        ..kind::PLAIN
    };
    const UP: &'static FamilyInfo = &UP;
    const TARGETS: Key<Vec<String>> = URLS;
    type Target = Page;
    type Memory = ();

    fn new(section: &mut Section<'_>, timeout: Duration) -> Self {
        Nginx(Pages::new(section, timeout))
    }

    fn target(text: &str) -> Result<(String, Page), &'static str> {
        Page::parse(text)
    }

    async fn query(&self, page: &Page, (): &mut (), found: &mut Found) -> Result<(), String> {
        let row = Row::new("nginx").tag("port", &page.port).tag("server", &page.server);
        write(&self.0.get(&page.url).await?, row, found)
    }
}

fn write(text: &str, mut row: Row, found: &mut Found) -> Result<(), String> {
    for (item, number) in ITEMS.iter().zip(stub_status::read(text)?) {
        item.write(&number.to_string(), Some(&mut row), found);
    }
    found.rows.push(row);
    Ok(())
}

/// A page with everything, for the golden.
#[cfg(test)]
pub(super) fn complete(found: &mut Found) {
    let page = "Active connections: 1\nserver accepts handled requests\n 1 1 1\nReading: 1 Writing: 1 Waiting: 1\n";
    write(page, Row::new("nginx"), found).unwrap();
    assert!(ITEMS.iter().map(|item| item.key).eq(stub_status::NAMES));
}
