package mod_test
