-- Short lists; teams have their own in `words`.
return {
  de = { "arschloch", "fotze", "hurensohn", "scheiße", "wichser" },
  en = { "asshole", "bastard", "bullshit", "fuck", "fucking", "motherfucker", "shit" },
  es = { "cabrón", "gilipollas", "hijo de puta", "mierda", "puta" },
  fr = { "connard", "enculé", "fils de pute", "merde", "putain" },
}
