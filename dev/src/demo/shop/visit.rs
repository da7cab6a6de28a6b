//! One visit: a walk through the shop, event by event.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use uuid::Uuid;

use super::catalogue::{COUNTRIES, DEVICES, PAYMENTS, PRODUCTS, Product, REFERRERS, SEARCHES};
use crate::demo::event::Event;

/// Seconds between two events of a visit, at most.
const LONGEST_PAUSE_SECONDS: i64 = 75;

/// Steps of a visit are fewer, each of one to three events.
const MOST_STEPS: i64 = 14;

/// No visit lasts longer: its steps, the front page, the checkout and the purchase.
pub(crate) const LONGEST_SECONDS: i64 = (3 * MOST_STEPS + 3) * LONGEST_PAUSE_SECONDS;

/// A visitor on his way, with the products in his cart and how many of each.
pub(crate) struct Visit {
    visitor: String,
    session: String,
    at: Timestamp,
    device: &'static str,
    country: &'static str,
    cart: Vec<(Product, u32)>,
    events: VecDeque<Event>,
}

impl Visit {
    pub(crate) fn new(visitor: String, session: String, at: Timestamp) -> Self {
        Self { visitor, session, at, device: "", country: "", cart: Vec::new(), events: VecDeque::new() }
    }

    /// Walks to the end of the visit.
    pub(crate) fn events(mut self, random: &mut StdRng) -> VecDeque<Event> {
        self.device = pick(DEVICES, random);
        self.country = pick(COUNTRIES, random);
        let referrer = pick(REFERRERS, random);
        self.page(random, "/", "Garden tools", referrer);
        for _ in 0..random.random_range(1..MOST_STEPS) {
            if random.random_bool(0.2) {
                self.search(random);
            }
            self.look(random);
        }
        if !self.cart.is_empty() && random.random_bool(0.5) {
            self.pay(random);
        }
        self.events
    }

    fn page(&mut self, random: &mut StdRng, path: &str, title: &str, referrer: &str) {
        let properties = json!({
            "path": path, "title": title, "referrer": referrer,
            "device": self.device, "country": self.country,
        });
        self.add(random, "page_view", &properties);
    }

    fn search(&mut self, random: &mut StdRng) {
        let (query, results) = pick(SEARCHES, random);
        let properties = json!({
            "query": query, "results": results, "device": self.device, "country": self.country,
        });
        self.add(random, "search", &properties);
    }

    /// Looks at a product, and puts it into the cart if it pleases.
    fn look(&mut self, random: &mut StdRng) {
        let product = pick(PRODUCTS, random);
        let path = format!("/{}/{}", product.category, product.sku.to_lowercase());
        self.page(random, &path, product.name, "");
        if random.random_bool(0.16) {
            let quantity = random.random_range(1..=3);
            let properties = json!({
                "sku": product.sku, "name": product.name, "category": product.category,
                "price": euros(product.cents), "quantity": quantity, "currency": "EUR",
            });
            self.add(random, "add_to_cart", &properties);
            self.cart.push((product, quantity));
        }
    }

    fn pay(&mut self, random: &mut StdRng) {
        let total = euros(self.cart.iter().map(|(product, quantity)| product.cents * quantity).sum());
        let items: u32 = self.cart.iter().map(|(_, quantity)| quantity).sum();
        let checkout = json!({ "value": total, "items": items, "currency": "EUR", "device": self.device });
        self.add(random, "checkout", &checkout);
        if random.random_bool(0.65) {
            let skus: Vec<&str> = self.cart.iter().map(|(product, _)| product.sku).collect();
            let order = format!("O-{:08}", random.random_range(0..100_000_000));
            let purchase = json!({
                "order": order, "revenue": total, "currency": "EUR",
                "payment": pick(PAYMENTS, random), "skus": skus,
            });
            self.add(random, "purchase", &purchase);
        }
    }

    fn add(&mut self, random: &mut StdRng, name: &str, properties: &Value) {
        let id = uuid::Builder::from_random_bytes(random.random()).into_uuid();
        self.events.push_back(event(self, id, name, properties));
        let pause = random.random_range(1_000..LONGEST_PAUSE_SECONDS * 1_000);
        self.at += SignedDuration::from_millis(pause);
    }
}

fn event(visit: &Visit, id: Uuid, name: &str, properties: &Value) -> Event {
    Event {
        id,
        name: name.to_owned(),
        user: Some(visit.visitor.clone()),
        session: Some(visit.session.clone()),
        at: visit.at,
        properties: serde_json::value::to_raw_value(properties)
            .expect("an object of texts and numbers is always JSON"),
    }
}

/// A price as a shop writes it, exact: `34.90`.
fn euros(cents: u32) -> Value {
    format!("{}.{:02}", cents / 100, cents % 100).into()
}

fn pick<T: Copy>(choices: &[T], random: &mut StdRng) -> T {
    *choices.choose(random).expect("the lists of the catalogue are not empty")
}
