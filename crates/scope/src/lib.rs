//! What a SQL string means at one target: which relations it touches and how, whether it may write, and how it is
//! written out for callers who do not have everything. Pure: no IO, no runtime; threads only, because the parser's
//! trees need deep stacks.

mod analyse;
mod catalog;
mod classification;
mod functions;
mod grammar;
mod limits;
mod lineage;
mod once;
mod pool;
mod ranges;
mod rewrite;
mod settings;
mod shape;
mod since;
mod system;
mod tree;
mod walk;

pub use analyse::{AT_ONCE_BYTES_MAX, analyse};
pub use catalog::{Catalog, CatalogError, QUERIES, Unfit};
pub use classification::{BUILT_IN_TAGS, Classification, Fault, Undecided, UndecidedColumn};
pub use pool::Analyser;
pub use rewrite::{BarrierView, FLOOR_CALLER, FLOOR_CALLERS, FLOOR_KEY, FLOOR_SCHEMA, FLOOR_SESSION};
pub use settings::APPLICATION;
pub use shape::{Shape, Shaped};
pub use since::since;
