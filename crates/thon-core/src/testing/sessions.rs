//! The dashboard's password and sessions in memory.
//!
//! For: tests that need someone who is logged in.
//! Not for: anything that has to be there tomorrow.

use std::time::SystemTime;

use async_trait::async_trait;

use super::state::MemoryState;
use crate::access::{
    Ending, Holder, NewSession, Opening, Role, SESSIONS_OF_ONE, Session, SessionStore,
    StoredPassword, password_changed,
};
use crate::adapter::Failure;
use crate::secret::Secret;
use crate::state::Actor;

#[async_trait]
impl SessionStore for MemoryState {
    async fn password(&self) -> Result<Option<StoredPassword>, Failure> {
        self.faults.check("password", "").await?;
        Ok(self.tables().password.clone())
    }

    async fn set_password(&self, actor: &Actor, hash: &Secret) -> Result<u64, Failure> {
        self.faults.check("set_password", "").await?;
        let set_at = self.clock.now();
        let ended = {
            let mut tables = self.tables();
            tables.password = Some(StoredPassword { hash: hash.clone(), set_at });
            let before = tables.sessions.len();
            tables.sessions.retain(|(_, session)| session.holder != Holder::Password);
            (before - tables.sessions.len()) as u64
        };
        self.write_down(actor, "set password", "dashboard", "done");
        Ok(ended)
    }

    async fn refused(&self, actor: &Actor, door: &str, reason: &str) -> Result<(), Failure> {
        self.faults.check("refused", "").await?;
        self.write_down(actor, "log in", door, reason);
        Ok(())
    }

    async fn sealing_secret(&self, fresh: &Secret) -> Result<Secret, Failure> {
        self.faults.check("sealing_secret", "").await?;
        Ok(self.tables().sealing_secret.get_or_insert_with(|| fresh.clone()).clone())
    }

    async fn begin_session(&self, actor: &Actor, session: &NewSession) -> Result<Session, Failure> {
        self.faults.check("begin_session", "").await?;
        let now = self.clock.now();
        let begun = {
            let mut tables = self.tables();
            if let Opening::Password(hash) = &session.opening {
                let holds = tables.password.as_ref().is_some_and(|set| set.hash == *hash);
                if !holds {
                    return Err(password_changed());
                }
            }
            tables.sessions.retain(|(_, session)| !session.is_over(now));
            tables.begun += 1;
            let begun = Session {
                number: tables.begun,
                holder: session.opening.holder(),
                role: session.opening.role(),
                address: session.address.clone(),
                browser: session.browser.clone(),
                created_at: now,
                seen_at: now,
                expires_at: session.expires_at,
            };
            let same = |other: &Session| match (other.holder.account(), begun.holder.account()) {
                (Some(other), Some(begun)) => other.id() == begun.id(),
                _ => false,
            };
            let numbers = tables.sessions.iter().filter(|(_, other)| same(other));
            let mut numbers: Vec<u64> = numbers.map(|(_, other)| other.number).collect();
            numbers.truncate((numbers.len() + 1).saturating_sub(SESSIONS_OF_ONE));
            tables.sessions.retain(|(_, other)| !numbers.contains(&other.number));
            tables.sessions.push((session.hash.clone(), begun.clone()));
            begun
        };
        self.write_down(actor, "log in", &format!("session {}", begun.number), "done");
        Ok(begun)
    }

    async fn find_session(&self, hash: &str) -> Result<Option<Session>, Failure> {
        self.faults.check("find_session", "").await?;
        let tables = self.tables();
        let found = tables.sessions.iter().find(|(known, _)| known == hash);
        Ok(found.map(|(_, session)| session.clone()))
    }

    async fn session_seen(&self, number: u64, at: SystemTime) -> Result<(), Failure> {
        self.faults.check("session_seen", "").await?;
        let mut tables = self.tables();
        let mut sessions = tables.sessions.iter_mut();
        if let Some((_, session)) = sessions.find(|(_, session)| session.number == number) {
            session.seen_at = at;
        }
        Ok(())
    }

    async fn role_changed(&self, actor: &Actor, number: u64, role: Role) -> Result<(), Failure> {
        self.faults.check("role_changed", "").await?;
        let before = {
            let mut tables = self.tables();
            let mut sessions = tables.sessions.iter_mut();
            let found = sessions.find(|(_, session)| session.number == number);
            found.map(|(_, session)| std::mem::replace(&mut session.role, role))
        };
        if let Some(before) = before {
            let said = format!("{before} to {role}");
            self.write_down(actor, "change role", &format!("session {number}"), &said);
        }
        Ok(())
    }

    async fn end_session(&self, actor: &Actor, number: u64, why: Ending) -> Result<bool, Failure> {
        self.faults.check("end_session", "").await?;
        let ended = {
            let mut tables = self.tables();
            let before = tables.sessions.len();
            tables.sessions.retain(|(_, session)| session.number != number);
            tables.sessions.len() < before
        };
        if ended {
            self.write_down(actor, why.as_str(), &format!("session {number}"), "done");
        }
        Ok(ended)
    }

    async fn sessions(&self) -> Result<Vec<Session>, Failure> {
        self.faults.check("sessions", "").await?;
        Ok(self.tables().sessions.iter().rev().map(|(_, session)| session.clone()).collect())
    }

    async fn end_sessions(&self, actor: &Actor) -> Result<u64, Failure> {
        self.faults.check("end_sessions", "").await?;
        let ended = std::mem::take(&mut self.tables().sessions).len() as u64;
        if ended > 0 {
            self.write_down(actor, "end sessions", "dashboard", "done");
        }
        Ok(ended)
    }
}
