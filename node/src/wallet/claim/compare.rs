//! A claim against the blocks.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{BlockHash, ScriptBuf};
use ironlight_spv::compress::state::{StateCompressor, StateError, WalletAccount};

use super::{
    Claim, ClaimBlock, ClaimOpen, ClaimVerdict, ClaimedItem, Comparison, Difference, NotComparable,
};
use crate::wallet::Wallet;
use crate::wallet::coin::Coin;
use crate::wallet::draft::Changes;
use crate::wallet::file::FileId;
use crate::wallet::marks::Marks;
use crate::wallet::states::{script_id, sealed_at};
use crate::wallet::watch::WatchId;

type Accounts = BTreeMap<[u8; 32], WalletAccount>;

impl Wallet {
    /// The claim of the last file that was imported.
    #[must_use]
    pub const fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// The claim without its verdict, where changes make another history up to its height, or take its
    /// block off: the verdict was of the history before.
    pub(in crate::wallet) fn reopened(&self, changes: &Changes) -> Option<Claim> {
        let claim = self.claim.as_ref().filter(|claim| claim.verdict != ClaimVerdict::Open)?;
        let height = claim.block.height;
        let changed = self.lowest_in(changes).is_some_and(|lowest| lowest <= height);
        let tip = changes.marks.as_ref().and_then(Marks::tip);
        let taken_off = tip.is_some_and(|tip| tip.height < height);
        (changed || taken_off).then(|| Claim { verdict: ClaimVerdict::Open, ..claim.clone() })
    }

    /// Refuses a file while that of another is not decided and can be.
    ///
    /// # Errors
    /// [`ClaimOpen`]
    pub fn check_import(&self, file: FileId, block: ClaimBlock) -> Result<(), ClaimOpen> {
        let open = |claim: &&Claim| claim.verdict == ClaimVerdict::Open && claim.file != file;
        let Some(claim) = self.claim.as_ref().filter(open) else { return Ok(()) };
        let is_watched = |item: &ClaimedItem| self.watch(item.watch).is_some();
        match block {
            ClaimBlock::Expected if claim.items.iter().all(is_watched) => {
                Err(ClaimOpen { height: claim.block.height })
            }
            ClaimBlock::Expected | ClaimBlock::Elsewhere => Ok(()),
        }
    }

    /// Whether a claim can be compared; `best` is the best chain's block at its height.
    ///
    /// # Errors
    /// [`NotComparable`]
    pub fn check_comparable(
        &self,
        claim: &Claim,
        best: Option<BlockHash>,
    ) -> Result<(), NotComparable> {
        if let Some(gone) = claim.items.iter().find(|item| self.watch(item.watch).is_none()) {
            return Err(NotComparable::ItemGone { watch: gone.watch });
        }
        self.check_complete(claim.block.height)?;
        if best != Some(claim.block.hash) {
            return Err(NotComparable::OtherBranch { claimed: claim.block.hash, best });
        }
        Ok(())
    }

    /// Compares a claim with what the blocks gave. Linear in transactions.
    ///
    /// # Errors
    /// [`NotComparable`]
    pub fn compare(
        &self,
        claim: &Claim,
        state: &StateCompressor<WalletAccount>,
        best: Option<BlockHash>,
    ) -> Result<Comparison, NotComparable> {
        self.check_comparable(claim, best)?;
        let height = claim.block.height;
        let items: BTreeMap<WatchId, &ClaimedItem> =
            claim.items.iter().map(|item| (item.watch, item)).collect();
        let counts = |coin: &Coin| {
            let mut owners = self.watched.index().owners(&coin.script).iter();
            owners.any(|owner| {
                items.get(&owner.watch).is_some_and(|item| item.counts(owner, coin.made.height))
            })
        };
        let own = sealed_at(&self.ledger, height, state.salt(), counts)?;
        if own.root(height)? == state.root(height)? {
            return Ok(Comparison::Same);
        }
        let accounts = |state: &StateCompressor<WalletAccount>| {
            let keyed = |account: WalletAccount| (account.script_id, account);
            let accounts = state.values(height)?.map(|account| account.map(keyed));
            accounts.collect::<Result<Accounts, StateError>>()
        };
        Ok(Comparison::Differs(self.differences(&accounts(state)?, &accounts(&own)?)))
    }

    fn differences(&self, claimed: &Accounts, found: &Accounts) -> Vec<Difference> {
        let keys: BTreeSet<&[u8; 32]> = claimed.keys().chain(found.keys()).collect();
        let differs = keys.into_iter().filter(|key| claimed.get(*key) != found.get(*key));
        let mut differences: Vec<Difference> = differs
            .map(|key| Difference {
                script_id: *key,
                script: None,
                claimed: claimed.get(key).cloned(),
                found: found.get(key).cloned(),
            })
            .collect();
        // One pass over the scripts, whose hashes nobody keeps.
        for script in self.watched.index().scripts() {
            let place = differences.binary_search_by_key(&script_id(script), |it| it.script_id);
            if let Some(difference) = place.ok().and_then(|place| differences.get_mut(place)) {
                difference.script = Some(ScriptBuf::from(script));
            }
        }
        differences
    }
}
