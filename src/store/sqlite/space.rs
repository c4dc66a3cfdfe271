//! Measures the space for the store; enqueues are refused before it is used up.

use super::Store;
use crate::error::Result;
use crate::flow::{Guard, Space};
use crate::store::Settings;

impl Store {
    /// The available space, and the size of the database if that is bounded.
    pub fn space(&self, settings: &Settings) -> Result<Space> {
        let local = &self.files.local;
        let free = local.free_bytes()?;
        Ok(Space {
            free,
            min_free: settings.min_free,
            has_reserve: free >= settings.min_free || local.has_reserve(),
            used: settings.max_size.map_or(Ok(0), |_| self.used_bytes())?,
            max_size: settings.max_size,
        })
    }

    /// Bytes of the database's pages that are in use.
    fn used_bytes(&self) -> Result<u64> {
        const SQL: &str = "
            SELECT (page_count - freelist_count) * page_size
            FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let used: i64 = statement.query_row([], |row| row.get(0))?;
        Ok(used as u64)
    }

    /// The guard that refuses an enqueue when the disk is nearly full or the database has nearly reached its maximum size.
    pub fn guard<'a>(&self, settings: &'a Settings) -> Result<Guard<'a>> {
        Ok(Guard {
            space: self.space(settings)?,
            ranks: &settings.ranks,
            dir: self.files.local.dir().to_owned(),
        })
    }
}
