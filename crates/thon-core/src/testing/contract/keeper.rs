//! The contract of [`WorkspaceKeeper`].

use std::io::Cursor;

use crate::adapter::{Failure, FailureKind, TarStream, WorkspaceKeeper};
use crate::name::UserId;
use crate::workspace::Workspace;

/// What the suite needs of the implementation under test.
pub struct KeeperFixture<'a> {
    /// The keeper.
    pub keeper: &'a dyn WorkspaceKeeper,
    /// Someone with a workspace that is there and empty.
    pub user: UserId,
    /// That workspace.
    pub workspace: Workspace,
    /// A tar archive with one file.
    pub tar: Vec<u8>,
    /// What is in that file; it stands nowhere else.
    pub text: &'static str,
}

/// A workspace is found, filled, read and deleted; what may be repeated can be; one that is gone is
/// neither read nor made by writing to it.
pub async fn keeper(fixture: &KeeperFixture<'_>) {
    let KeeperFixture { keeper, user, workspace, tar, text } = fixture;
    let fill = || keeper.write(user, workspace, Box::new(Cursor::new(tar.clone())));
    assert!(is_listed(fixture).await, "it is there");
    assert!(!holds(keeper.read(user, workspace).await, text).await, "it is empty");
    for _ in 0..2 {
        assert_eq!(fill().await, Ok(()));
        assert!(holds(keeper.read(user, workspace).await, text).await, "what was written is read");
    }
    for _ in 0..2 {
        assert_eq!(keeper.delete(user, workspace).await, Ok(()));
        assert!(!is_listed(fixture).await, "it is gone");
    }
    let kind = |failure: Failure| failure.kind;
    let read = keeper.read(user, workspace).await.map(drop).map_err(kind);
    assert_eq!(read, Err(FailureKind::Missing));
    assert_eq!(fill().await.map_err(kind), Err(FailureKind::Missing));
    assert!(!is_listed(fixture).await, "nothing was made by asking");
}

async fn is_listed(fixture: &KeeperFixture<'_>) -> bool {
    match fixture.keeper.list(&|_| true).await {
        Ok(all) => {
            all.iter().any(|one| one.user == fixture.user && one.workspace == fixture.workspace)
        }
        Err(failure) => panic!("{failure}"),
    }
}

/// True if the text stands in the archive.
async fn holds(tar: Result<TarStream, Failure>, text: &str) -> bool {
    let mut tar = tar.unwrap_or_else(|failure| panic!("{failure}"));
    let read = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        tar.read_to_end(&mut all).map(|_| all)
    });
    match read.await {
        Ok(Ok(all)) => all.windows(text.len()).any(|part| part == text.as_bytes()),
        other => panic!("{other:?}"),
    }
}
