//! What a component says of itself before any of its code runs: is it one, and for which world.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::GRANTABLE;
use crate::policy::Role;
use crate::reason::Reason;
use crate::roles::classify::SENDER_INTERFACE;

/// The version of all packages in `wit/` that this host speaks. A plugin made for another patch
/// version of the same minor version fits.
pub(crate) const WIT_VERSION: &str = "0.1.0";

/// The interface that every plugin exports.
pub(crate) const PLUGIN_INTERFACE: &str = "postern:host/plugin";

/// What a component exports and imports, as far as it concerns us.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct World {
    /// Roles it fills.
    pub(crate) roles: BTreeSet<Role>,
    /// Interfaces of `postern:host` it imports, by name, without `types`.
    pub(crate) imports: BTreeSet<String>,
}

/// Whether the bytes are a whole component, judged by its frame: a compiler's message for the same
/// thing would not help an operator.
pub(crate) fn check_frame(bytes: &[u8]) -> Result<(), Reason> {
    const MAGIC: &[u8; 4] = b"\0asm";
    // Version and layer, 16 bits each (component-model, Binary.md).
    const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];
    const CORE_MODULE: [u8; 4] = [1, 0, 0, 0];

    if bytes.is_empty() {
        return Err(Reason::Empty);
    }
    let Some((head, mut rest)) = bytes.split_first_chunk::<8>() else {
        let is_begun = MAGIC.starts_with(bytes) || bytes.starts_with(MAGIC);
        return Err(if is_begun { Reason::CutShort } else { Reason::NotWasm });
    };
    if !head.starts_with(MAGIC) {
        return Err(Reason::NotWasm);
    }
    match head.last_chunk::<4>() {
        Some(&COMPONENT) => {}
        Some(&CORE_MODULE) => return Err(Reason::CoreModule),
        _ => return Err(Reason::Invalid("unknown component format".into())),
    }
    while let Some((_id, after)) = rest.split_first() {
        let (size, after) = leb128(after).ok_or(Reason::CutShort)?;
        rest = after.get(size..).ok_or(Reason::CutShort)?;
    }
    Ok(())
}

/// An unsigned 32-bit LEB128 number and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}

/// Sorts the names of a component's imports and exports. Gives every reason against it at once.
pub(crate) fn check_world<'a>(
    imports: impl Iterator<Item = &'a str>,
    exports: impl Iterator<Item = &'a str>,
) -> Result<World, Vec<Reason>> {
    let mut reasons = Vec::new();
    let mut world = World::default();
    let mut of_classify = None;
    for import in imports {
        let checked = check_import(import);
        if split(import).0 == SENDER_INTERFACE && checked.is_ok() {
            of_classify = Some(import);
        }
        match checked {
            Ok(None) => {}
            Ok(Some(name)) => drop(world.imports.insert(name.to_owned())),
            Err(reason) => reasons.push(reason),
        }
    }

    let mut ours = BTreeMap::new();
    for export in exports {
        let (interface, version) = split(export);
        if interface.starts_with("postern:") {
            if is_compatible(version) {
                ours.insert(interface, ());
            } else {
                reasons.push(Reason::Version { interface: export.to_owned() });
            }
        }
    }
    if !reasons.iter().any(|reason| matches!(reason, Reason::Version { .. })) {
        if !ours.contains_key(PLUGIN_INTERFACE) {
            reasons.push(Reason::MissingExport { interface: PLUGIN_INTERFACE.into() });
        }
        for role in Role::ALL {
            let (has, lacks): (Vec<_>, Vec<_>) =
                role.interfaces().iter().partition(|interface| ours.contains_key(**interface));
            if lacks.is_empty() {
                world.roles.insert(role);
            } else if !has.is_empty() {
                let missing = |interface: &&str| Reason::MissingExport { interface: (*interface).to_owned() };
                reasons.extend(lacks.into_iter().map(missing));
            }
        }
        if world.roles.is_empty() && !reasons.iter().any(|r| matches!(r, Reason::MissingExport { .. })) {
            reasons.push(Reason::NoRole);
        }
    }
    if let Some(import) = of_classify
        && !world.roles.contains(&Role::Classify)
    {
        reasons.push(Reason::UnknownInterface { import: import.to_owned() });
    }
    if reasons.is_empty() { Ok(world) } else { Err(reasons) }
}

/// The granted name of an import, none for what needs no grant.
fn check_import(import: &str) -> Result<Option<&str>, Reason> {
    let (interface, version) = split(import);
    if interface == SENDER_INTERFACE && is_compatible(version) {
        return Ok(None);
    }
    let foreign = || Reason::Foreign { import: import.to_owned() };
    let name = interface.strip_prefix("postern:host/").ok_or_else(foreign)?;
    if name != "types" && !GRANTABLE.contains(&name) {
        return Err(Reason::UnknownInterface { import: import.to_owned() });
    }
    if !is_compatible(version) {
        return Err(Reason::Version { interface: import.to_owned() });
    }
    Ok((name != "types").then_some(name))
}

/// Imports that the policy does not grant.
pub(crate) fn not_granted(world: &World, grants: &BTreeSet<String>) -> Vec<Reason> {
    world
        .imports
        .difference(grants)
        .map(|interface| Reason::NotGranted { interface: interface.clone() })
        .collect()
}

/// Grants that name nothing: a typing mistake, most likely.
pub(crate) fn unknown_grants(grants: &BTreeSet<String>) -> Vec<Reason> {
    grants
        .iter()
        .filter(|grant| !GRANTABLE.contains(&grant.as_str()) && *grant != "types")
        .map(|grant| Reason::UnknownGrant { grant: grant.clone() })
        .collect()
}

/// `a:b/c@1.2.3` as interface and version.
fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

fn is_compatible(version: &str) -> bool {
    let minor = |version: &str| {
        let mut parts = version.split('.').map(str::to_owned);
        (parts.next(), parts.next())
    };
    // Before 1.0 a minor version may break; a pre-release fits nothing.
    !version.contains('-') && minor(version) == minor(WIT_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIN: &str = "postern:host/plugin@0.1.0";

    fn check(imports: &[&str], exports: &[&str]) -> Result<World, String> {
        check_world(imports.iter().copied(), exports.iter().copied())
            .map_err(|reasons| reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn roles_are_found_by_exports() {
        let world = check(
            &["postern:host/types@0.1.0", "postern:host/log@0.1.7"],
            &[PLUGIN, "postern:classify/classify@0.1.2", "postern:token/tokens@0.1.0", "other:thing/x@1.0.0"],
        )
        .unwrap();
        assert_eq!(world.roles, BTreeSet::from([Role::Classify, Role::Token]));
        assert_eq!(world.imports, BTreeSet::from(["log".to_owned()]));
    }

    #[test]
    fn every_reason_is_given_at_once() {
        let reasons = check(
            &["wasi:filesystem/types@0.2.0", "postern:host/files@0.1.0", "postern:host/log@0.2.0", "env"],
            &["postern:classify/classify@0.1.0"],
        )
        .unwrap_err();
        for said in ["wasi:filesystem/types@0.2.0", "postern:host/files", "postern:host/log@0.2.0", "`env`"] {
            assert!(reasons.contains(said), "{said} not in:\n{reasons}");
        }
        assert_eq!(reasons.lines().count(), 4, "{reasons}");
    }

    #[test]
    fn a_wrong_version_says_so() {
        let reasons = check(&[], &[PLUGIN, "postern:classify/classify@0.2.0"]).unwrap_err();
        assert!(reasons.contains("postern:classify/classify@0.2.0") && reasons.contains("0.1"), "{reasons}");
        for version in ["1.1.0", "0.1.0-rc.1", "", "0.10.0"] {
            assert!(!is_compatible(version), "{version}");
        }
    }

    #[test]
    fn half_a_role_and_no_role_are_refused() {
        let reasons = check(&[], &[PLUGIN, "postern:login/verify@0.1.0"]).unwrap_err();
        assert!(reasons.contains("postern:login/directory") && reasons.contains("postern:login/accounts"));
        assert!(check(&[], &[PLUGIN]).unwrap_err().contains("no role"));
        assert!(check(&[], &["postern:store/messages@0.1.0"]).unwrap_err().contains("postern:host/plugin"));
    }

    #[test]
    fn only_classify_may_ask_for_the_sender() {
        let sender = "postern:classify/sender@0.1.0";
        let world = check(&[sender], &[PLUGIN, "postern:classify/classify@0.1.0"]).unwrap();
        assert!(world.imports.is_empty(), "needs no grant");
        let reasons = check(&[sender], &[PLUGIN, "postern:token/tokens@0.1.0"]).unwrap_err();
        assert!(reasons.contains(sender), "{reasons}");
        assert!(check(&["postern:classify/sender@0.2.0"], &[PLUGIN]).is_err());
    }

    #[test]
    fn grants_are_compared_by_name() {
        let world = World { imports: BTreeSet::from(["log".into(), "sql".into()]), ..World::default() };
        let grants = BTreeSet::from(["log".into(), "types".into(), "slq".into()]);
        assert!(
            matches!(&not_granted(&world, &grants)[..], [Reason::NotGranted { interface }] if interface == "sql")
        );
        assert!(matches!(&unknown_grants(&grants)[..], [Reason::UnknownGrant { grant }] if grant == "slq"));
    }

    #[test]
    fn frames_are_told_apart() {
        let component = wat::parse_str("(component (core module (func)))").unwrap();
        assert!(check_frame(&component).is_ok());
        for len in 1..component.len() {
            let cut = check_frame(&component[..len]);
            // Cut at the end of a section it is a whole, smaller component.
            assert!(matches!(cut, Err(Reason::CutShort)) || len == 8, "cut to {len}: {cut:?}");
        }
        assert!(matches!(check_frame(&wat::parse_str("(module)").unwrap()), Err(Reason::CoreModule)));
        assert!(matches!(check_frame(b""), Err(Reason::Empty)));
        assert!(matches!(check_frame(b"#!/bin/sh\n"), Err(Reason::NotWasm)));
        assert!(matches!(check_frame(b"\x7fELF"), Err(Reason::NotWasm)));
        assert!(matches!(check_frame(b"\0asm\x0d\0\x07\0"), Err(Reason::Invalid(_))));
    }
}
