//! The contract of [`Store`].

use crate::adapter::{Entropy, Store};
use crate::endpoint::Port;
use crate::seat::{Password, Seat};
use crate::testing::{MemoryHasher, fixture};

/// What is saved is what is loaded, passwords included, and saving replaces.
pub async fn store(store: &dyn Store, entropy: &dyn Entropy) {
    assert_eq!(store.load_seats().await, Ok(Vec::new()), "a new store is empty");
    let seats: Vec<Seat> = fixture::specs(3)
        .into_iter()
        .enumerate()
        .map(|(number, spec)| Seat {
            user: spec.user,
            code_port: spec.code_port,
            host_port: spec.host_port,
            public_port: (number > 1).then_some(spec.host_port),
            password: (number > 0)
                .then(|| Password::generate(entropy, &MemoryHasher))
                .and_then(Result::ok),
            expires_at: (number > 1)
                .then(|| std::time::UNIX_EPOCH + std::time::Duration::from_hours(500_000)),
        })
        .collect();
    assert_eq!(store.save_seats(&seats).await, Ok(()));
    assert_eq!(store.load_seats().await.map(sorted), Ok(sorted(seats.clone())));
    let mut fewer = seats[..1].to_vec();
    fewer[0].host_port = Port::new(29_999).unwrap_or(fewer[0].host_port);
    assert_eq!(store.save_seats(&fewer).await, Ok(()));
    assert_eq!(store.load_seats().await, Ok(fewer), "saving replaces what was there");
}

fn sorted(mut seats: Vec<Seat>) -> Vec<Seat> {
    seats.sort_by(|one, other| one.user.cmp(&other.user));
    seats
}
