//! What the shop sells, where visitors come from, and what they search for.

/// One product: its path and its price in cents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    pub(crate) sku: &'static str,
    pub(crate) name: &'static str,
    pub(crate) category: &'static str,
    pub(crate) cents: u32,
}

const fn product(sku: &'static str, name: &'static str, category: &'static str, cents: u32) -> Product {
    Product { sku, name, category, cents }
}

pub(crate) const PRODUCTS: &[Product] = &[
    product("SPA-01", "Digging spade", "spades", 3490),
    product("SPA-02", "Border spade", "spades", 2990),
    product("SPA-03", "Folding spade", "spades", 1950),
    product("RAK-01", "Leaf rake", "rakes", 1890),
    product("RAK-02", "Bow rake", "rakes", 2450),
    product("SHE-01", "Hedge shears", "shears", 3990),
    product("SHE-02", "Bypass secateurs", "shears", 2790),
    product("SHE-03", "Grass shears", "shears", 1590),
    product("WAT-01", "Watering can, 10 l", "watering", 2290),
    product("WAT-02", "Hose, 25 m", "watering", 4490),
    product("WAT-03", "Drip irrigation set", "watering", 5950),
    product("GLO-01", "Leather gloves", "gloves", 1290),
    product("GLO-02", "Thorn-proof gloves", "gloves", 2190),
    product("WHE-01", "Wheelbarrow, 85 l", "barrows", 8990),
    product("SEE-01", "Wildflower seeds", "seeds", 495),
    product("SEE-02", "Tomato seeds", "seeds", 345),
];

/// What is typed into the search box; some of it finds nothing.
pub(crate) const SEARCHES: &[(&str, u32)] = &[
    ("spade", 3),
    ("rake", 2),
    ("secateurs", 1),
    ("gloves", 2),
    ("tomato", 1),
    ("hose 25m", 1),
    ("lawn mower", 0),
    ("Gießkanne", 1),
    ("\"thorn-proof\"", 1),
];

pub(crate) const REFERRERS: &[&str] =
    &["", "", "https://search.example/", "https://news.example/garden", "https://social.example/feed"];

pub(crate) const COUNTRIES: &[&str] = &["DE", "DE", "FR", "NL", "AT", "PL", "SE", "US"];

pub(crate) const DEVICES: &[&str] = &["mobile", "mobile", "desktop", "tablet"];

pub(crate) const PAYMENTS: &[&str] = &["card", "card", "invoice", "transfer"];
