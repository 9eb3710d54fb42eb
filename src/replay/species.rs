//! What labels mean to the tools of biologists. A label that is not here stays a label.

/// A species that a label names.
#[derive(Debug, PartialEq, Eq)]
pub struct Species {
    /// Labels that mean it.
    labels: &'static [&'static str],
    /// Scientific name.
    pub name: &'static str,
    /// English name.
    pub english: &'static str,
    /// Order and family, within Animalia, Chordata.
    pub order: &'static str,
    /// See `order`.
    pub family: &'static str,
    /// See `order`.
    pub class: &'static str,
}

const fn mammal(
    labels: &'static [&'static str],
    name: &'static str,
    english: &'static str,
    order: &'static str,
    family: &'static str,
) -> Species {
    Species { labels, name, english, order, family, class: "Mammalia" }
}

/// Animals of the Arctic that heads have labels for, or may have.
const SPECIES: [Species; 13] = [
    mammal(&["polar_bear"], "Ursus maritimus", "polar bear", "Carnivora", "Ursidae"),
    mammal(&["arctic_fox"], "Vulpes lagopus", "arctic fox", "Carnivora", "Canidae"),
    mammal(&["walrus"], "Odobenus rosmarus", "walrus", "Carnivora", "Odobenidae"),
    mammal(&["reindeer", "caribou"], "Rangifer tarandus", "reindeer", "Artiodactyla", "Cervidae"),
    mammal(&["muskox", "musk_ox"], "Ovibos moschatus", "muskox", "Artiodactyla", "Bovidae"),
    mammal(&["red_fox"], "Vulpes vulpes", "red fox", "Carnivora", "Canidae"),
    mammal(&["wolf", "grey_wolf", "gray_wolf"], "Canis lupus", "grey wolf", "Carnivora", "Canidae"),
    mammal(&["brown_bear"], "Ursus arctos", "brown bear", "Carnivora", "Ursidae"),
    mammal(&["wolverine"], "Gulo gulo", "wolverine", "Carnivora", "Mustelidae"),
    mammal(&["arctic_hare"], "Lepus arcticus", "Arctic hare", "Lagomorpha", "Leporidae"),
    mammal(&["ringed_seal"], "Pusa hispida", "ringed seal", "Carnivora", "Phocidae"),
    mammal(&["bearded_seal"], "Erignathus barbatus", "bearded seal", "Carnivora", "Phocidae"),
    mammal(&["harp_seal"], "Pagophilus groenlandicus", "harp seal", "Carnivora", "Phocidae"),
];

/// What kind of thing a label is, in the words that Camtrap DP and MegaDetector share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// An animal, known by name or not.
    Animal,
    /// A person.
    Human,
    /// A vehicle.
    Vehicle,
    /// Nothing.
    Blank,
    /// Anything that the head has no label for.
    Unknown,
}

/// The kind of a label; `background` as the head says. A background label such as `other` may hide a bird, so only one
/// that says so is blank.
pub fn sort(label: &str, background: bool) -> Sort {
    match label {
        "blank" | "empty" | "nothing" | "background" => Sort::Blank,
        _ if background => Sort::Unknown,
        "human" | "person" | "people" => Sort::Human,
        "vehicle" | "snowmobile" | "car" | "boat" => Sort::Vehicle,
        "other" | "unknown" => Sort::Unknown,
        _ => Sort::Animal,
    }
}

/// The species that a label names.
pub fn species(label: &str) -> Option<&'static Species> {
    SPECIES.iter().find(|species| species.labels.contains(&label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_labels_have_their_scientific_names() {
        let names = ["polar_bear", "arctic_fox", "walrus", "caribou"].map(|label| species(label).map(|it| it.name));
        assert_eq!(
            names,
            [Some("Ursus maritimus"), Some("Vulpes lagopus"), Some("Odobenus rosmarus"), Some("Rangifer tarandus")]
        );
        assert_eq!(species("bear"), None);
    }

    #[test]
    fn a_background_label_is_blank_only_where_it_says_so() {
        assert_eq!(sort("other", true), Sort::Unknown);
        assert_eq!(sort("blank", true), Sort::Blank);
        assert_eq!(sort("polar_bear", false), Sort::Animal);
        assert_eq!(sort("snow_goose", false), Sort::Animal);
        assert_eq!(sort("person", false), Sort::Human);
    }
}
