//! Tokens in memory.
//!
//! For: tests that need someone who may do something.
//! Not for: anything that has to be there tomorrow.

use std::time::SystemTime;

use async_trait::async_trait;

use super::state::MemoryState;
use crate::access::{AccessStore, NewToken, Token, token_exists, token_missing};
use crate::adapter::Failure;
use crate::state::{Actor, AuditEntry, audit_text};

impl MemoryState {
    pub(super) fn write_down(&self, actor: &Actor, action: &str, name: &str, result: &str) {
        let at = self.clock.now();
        self.tables().audit.push(AuditEntry {
            at,
            actor: audit_text(&actor.to_string()),
            action: action.to_owned(),
            subject: audit_text(name),
            result: audit_text(result),
        });
    }
}

#[async_trait]
impl AccessStore for MemoryState {
    async fn tokens(&self) -> Result<Vec<Token>, Failure> {
        self.faults.check("tokens", "").await?;
        let mut tokens: Vec<Token> =
            self.tables().tokens.iter().map(|(_, token)| token.clone()).collect();
        tokens.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(tokens)
    }

    async fn add_token(&self, actor: &Actor, token: &NewToken) -> Result<(), Failure> {
        self.faults.check("add_token", &token.name).await?;
        let created_at = self.clock.now();
        {
            let mut tables = self.tables();
            if tables.tokens.iter().any(|(_, present)| present.name == token.name) {
                return Err(token_exists(&token.name));
            }
            let added = Token {
                name: token.name.clone(),
                scope: token.scope,
                created_at,
                expires_at: token.expires_at,
                used_at: None,
            };
            tables.tokens.push((token.hash.clone(), added));
        }
        self.write_down(actor, "add token", &token.name, "done");
        Ok(())
    }

    async fn revoke_token(&self, actor: &Actor, name: &str) -> Result<(), Failure> {
        self.faults.check("revoke_token", name).await?;
        {
            let mut tables = self.tables();
            let before = tables.tokens.len();
            tables.tokens.retain(|(_, token)| token.name != name);
            if tables.tokens.len() == before {
                return Err(token_missing(name));
            }
        }
        self.write_down(actor, "revoke token", name, "done");
        Ok(())
    }

    async fn find_token(&self, hash: &str) -> Result<Option<Token>, Failure> {
        self.faults.check("find_token", "").await?;
        let tables = self.tables();
        let found = tables.tokens.iter().find(|(known, _)| known == hash);
        Ok(found.map(|(_, token)| token.clone()))
    }

    async fn token_used(&self, name: &str, at: SystemTime) -> Result<(), Failure> {
        self.faults.check("token_used", name).await?;
        let mut tables = self.tables();
        if let Some((_, token)) = tables.tokens.iter_mut().find(|(_, token)| token.name == name) {
            token.used_at = Some(at);
        }
        Ok(())
    }
}
