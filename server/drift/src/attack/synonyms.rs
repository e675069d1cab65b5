//! A small table of words and other words for them, for the crude paraphrase.

/// Another word for a lower-case `word`.
pub fn synonym(word: &str) -> Option<&'static str> {
    SYNONYMS.iter().find(|(plain, _)| *plain == word).map(|(_, other)| *other)
}

/// Whether the word is a verb of the table: what people ask agents to do.
pub fn is_verb(word: &str) -> bool {
    SYNONYMS.iter().take(VERBS).any(|(plain, _)| *plain == word)
}

/// How many entries of the table, from its start, are verbs.
const VERBS: usize = 48;

const SYNONYMS: [(&str, &str); 92] = [
    ("add", "append"),
    ("ask", "inquire"),
    ("book", "reserve"),
    ("buy", "purchase"),
    ("calculate", "compute"),
    ("call", "phone"),
    ("cancel", "call off"),
    ("change", "modify"),
    ("check", "verify"),
    ("compute", "calculate"),
    ("convert", "turn"),
    ("create", "make"),
    ("delete", "remove"),
    ("exchange", "swap"),
    ("explain", "describe"),
    ("fetch", "retrieve"),
    ("find", "locate"),
    ("get", "obtain"),
    ("give", "provide"),
    ("help", "assist"),
    ("invite", "ask in"),
    ("know", "learn"),
    ("list", "enumerate"),
    ("look", "search"),
    ("make", "create"),
    ("need", "require"),
    ("order", "request"),
    ("pay", "settle"),
    ("plan", "prepare"),
    ("post", "publish"),
    ("read", "go through"),
    ("recommend", "suggest"),
    ("remove", "take out"),
    ("reply", "respond"),
    ("reserve", "book"),
    ("return", "send back"),
    ("schedule", "arrange"),
    ("search", "look"),
    ("send", "transmit"),
    ("set", "put"),
    ("share", "pass on"),
    ("show", "display"),
    ("start", "begin"),
    ("summarize", "sum up"),
    ("tell", "inform"),
    ("transfer", "move"),
    ("update", "revise"),
    ("write", "compose"),
    ("account", "profile"),
    ("address", "location"),
    ("amount", "sum"),
    ("appointment", "meeting"),
    ("available", "free"),
    ("best", "finest"),
    ("bill", "invoice"),
    ("cheap", "inexpensive"),
    ("cheapest", "least expensive"),
    ("city", "town"),
    ("company", "firm"),
    ("cost", "price"),
    ("current", "present"),
    ("customer", "client"),
    ("different", "other"),
    ("email", "mail"),
    ("file", "document"),
    ("flight", "plane trip"),
    ("friend", "pal"),
    ("gift", "present"),
    ("hotel", "inn"),
    ("house", "home"),
    ("information", "details"),
    ("item", "article"),
    ("latest", "newest"),
    ("link", "address"),
    ("message", "note"),
    ("money", "funds"),
    ("near", "close to"),
    ("new", "fresh"),
    ("people", "persons"),
    ("phone", "telephone"),
    ("picture", "image"),
    ("price", "cost"),
    ("problem", "issue"),
    ("quick", "fast"),
    ("rating", "score"),
    ("refund", "repayment"),
    ("restaurant", "place to eat"),
    ("review", "opinion"),
    ("reviews", "opinions"),
    ("trip", "journey"),
    ("user", "account holder"),
    ("website", "web page"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_come_first_and_each_half_is_in_order() {
        let (verbs, others) = SYNONYMS.split_at(VERBS);
        assert!(verbs.is_sorted() && others.is_sorted());
        assert!(is_verb("write") && !is_verb("account"));
    }

    #[test]
    fn no_word_stands_for_itself() {
        assert!(SYNONYMS.iter().all(|(plain, other)| plain != other));
    }
}
