"""The pages for administrators, with their forms."""
