package scenario

// names are what robots call themselves.
var names = []string{
	"Ada", "Bo", "Cleo", "Dara", "Emre", "Fay", "Goro", "Hana", "Ivo", "Juno", "Kai", "Lena",
	"Milo", "Nadia", "Oki", "Pia", "Quinn", "Rosa", "Sven", "Tara", "Ugo", "Vera", "Wen", "Xiu", "Yuki", "Zoe",
}

// phrases are what robots say.
var phrases = []string{
	"anybody here?", "good morning", "that upgrade was worth it", "who wants to trade?", "I am nearly there",
	"brb", "well played", "how much is the next level?", "saving up again", "see you at the gate",
	"this place is crowded today", "thanks!", "no idea, ask the others", "back to work", "one more level, then sleep",
	"did you see that?", "my purse is empty", "on my way", "wait for me", "nice name",
}
