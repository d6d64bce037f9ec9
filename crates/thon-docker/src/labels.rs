//! The labels by which everything of ours is found again from Docker alone.
//!
//! For: writing and reading them.
//! Not for: deciding anything from them.

use std::collections::HashMap;

use thon_core::name::{GroupName, NodeName, UserId, Username};
use thon_core::sandbox::Fingerprint;

/// Present with the value `true` on everything that THON made.
pub const MANAGED: &str = "thon.managed";
/// The node that it belongs to.
pub const NODE: &str = "thon.node";
/// The group of the user that it belongs to.
pub const GROUP: &str = "thon.group";
/// The user that it belongs to.
pub const USER: &str = "thon.user";
/// What a sandbox was made from, as JSON. Holds no secret.
pub const FINGERPRINT: &str = "thon.fingerprint";
/// The version of THON that made it.
pub const VERSION: &str = "thon.version";
/// On an image: the digest of everything that it was built from.
pub const IMAGE_INPUTS: &str = "thon.image.inputs";

/// The labels of what a node has once: its network.
pub(crate) fn of_node(node: &NodeName) -> HashMap<String, String> {
    HashMap::from([
        (MANAGED.to_owned(), "true".to_owned()),
        (NODE.to_owned(), node.to_string()),
        (VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ])
}

/// The labels of what a user has: their sandbox and their volume.
pub(crate) fn of_user(node: &NodeName, user: &UserId) -> HashMap<String, String> {
    let mut labels = of_node(node);
    labels.insert(GROUP.to_owned(), user.group.to_string());
    labels.insert(USER.to_owned(), user.user.to_string());
    labels
}

/// The filter that leaves only what belongs to `node`.
pub(crate) fn filter(node: &NodeName) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{MANAGED}=true"), format!("{NODE}={node}")])])
}

/// True if the labels say that `node` made it.
pub(crate) fn are_of(node: &NodeName, labels: &HashMap<String, String>) -> bool {
    labels.get(MANAGED).is_some_and(|value| value == "true")
        && labels.get(NODE).is_some_and(|value| value == node.as_str())
}

/// The user that the labels name; nothing where they don't name one.
pub(crate) fn user(labels: &HashMap<String, String>) -> Option<UserId> {
    let group = GroupName::new(labels.get(GROUP)?.as_str()).ok()?;
    let user = Username::new(labels.get(USER)?.as_str()).ok()?;
    Some(UserId::new(group, user))
}

/// The fingerprint in the labels; nothing where another version wrote it in another form.
pub(crate) fn fingerprint(labels: &HashMap<String, String>) -> Option<Fingerprint> {
    serde_json::from_str(labels.get(FINGERPRINT)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_back_and_another_node_is_not_ours() {
        let node = NodeName::default();
        let alice: UserId = "alpha/alice".parse().unwrap();
        let mut labels = of_user(&node, &alice);
        assert!(are_of(&node, &labels));
        assert!(!are_of(&"other".parse().unwrap(), &labels));
        assert_eq!(user(&labels), Some(alice));

        labels.insert(USER.to_owned(), "../x".to_owned());
        assert_eq!(user(&labels), None);
        labels.remove(MANAGED);
        assert!(!are_of(&node, &labels));
    }
}
