//! The contract of [`ReverseProxy`].

use crate::adapter::ReverseProxy;
use crate::proxy::{ProxyChange, ProxySite};

/// The first apply starts, the same again changes nothing, one route less is one reload; every
/// route of the site that leads to something healthy passes its check, a user without a route
/// doesn't; cleanup ends it and may be repeated.
///
/// `site` needs at least two routes, all of which lead to servers that answer `GET /healthz` with
/// 200 and accept a websocket there.
pub async fn proxy(proxy: &dyn ReverseProxy, site: &ProxySite) {
    assert_eq!(proxy.apply(site).await, Ok(ProxyChange::Started));
    assert_eq!(proxy.apply(site).await, Ok(ProxyChange::Unchanged));
    let users: Vec<_> = site.routes.iter().map(|route| route.user.clone()).collect();
    match proxy.check(site, &users).await {
        Ok(checks) => {
            let checked: Vec<_> = checks.iter().map(|check| check.user.clone()).collect();
            assert_eq!(checked, users, "one result per user, in their order");
            assert!(checks.iter().all(|check| check.problem.is_none()), "{checks:?}");
        }
        Err(failure) => panic!("{failure}"),
    }

    let mut fewer = site.clone();
    let gone = fewer.routes.pop().map(|route| route.user);
    assert_eq!(proxy.apply(&fewer).await, Ok(ProxyChange::Reloaded));
    let gone: Vec<_> = gone.into_iter().collect();
    match proxy.check(&fewer, &gone).await {
        Ok(checks) => assert!(checks.iter().all(|check| check.problem.is_some()), "{checks:?}"),
        Err(failure) => panic!("{failure}"),
    }
    match proxy.status().await {
        Ok(status) => assert_eq!((status.running, status.routes), (true, Some(fewer.routes.len()))),
        Err(failure) => panic!("{failure}"),
    }

    assert_eq!(proxy.cleanup().await, Ok(()));
    assert_eq!(proxy.cleanup().await, Ok(()), "cleaning up twice is fine");
    match proxy.status().await {
        Ok(status) => assert_eq!(status.routes, None, "nothing of ours is left"),
        Err(failure) => panic!("{failure}"),
    }
}
