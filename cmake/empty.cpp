// A static library needs one source even where every other folder is empty.
