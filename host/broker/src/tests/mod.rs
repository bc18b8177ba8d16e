//! The broker as clients see it: each test plays packets by decoding what `drain` wrote.

mod denied;
mod disk;
mod feed;
mod feed_model;
mod inbound;
mod life;
mod limits;
mod model;
mod outbound;
mod pair;
mod races;
mod restart;
mod resume;
mod retained;
mod routing;
mod shared;
mod wakes;
mod wills;
