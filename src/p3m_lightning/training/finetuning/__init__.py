"""Fine-tuning: its start, frozen statistics, and a report of gains and losses."""
