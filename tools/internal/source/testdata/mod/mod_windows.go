package mod

const Windows = true
